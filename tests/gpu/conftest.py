"""`make test-gpu` runs on a machine that has a card, and says what is missing on one that has not: nothing here passes without one."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gpu_lib  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="every workload in every way, not the usual choice (30 minutes)")


def pytest_configure(config):
    lacking = gpu_lib.missing()
    if lacking:
        pytest.exit("test-gpu can't run here. It needs:\n" + "\n".join(f"  - {one}" for one in lacking), returncode=3)


def pytest_report_header(config):
    return f"cards: {', '.join(gpu_lib.cards())}; build: {gpu_lib.BUILD}; interpreter: {gpu_lib.PYTHON}"
