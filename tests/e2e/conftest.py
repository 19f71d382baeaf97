"""Fixtures of the end-to-end tests; the helpers are in tvg_testlib.py."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tvg_testlib  # noqa: E402


def pytest_report_header(config):
    return f"build: {tvg_testlib.BUILD}"


def pytest_configure(config):
    for needed in (tvg_testlib.SHIM, tvg_testlib.TVG):
        if not needed.exists():
            raise pytest.UsageError(f"{needed} is missing: run 'make' first, or set BUILD")


@pytest.fixture
def under_shim(tmp_path):
    """run_under_shim with the test's own folder: under_shim(command, env={...}) -> Run."""
    def call(command, **options):
        return tvg_testlib.run_under_shim(command, tmp_path, **options)
    return call
