"""`make test-gpu` runs on a machine that has a card, and says what is missing on one that has not: nothing here passes without one.

With --results FILE each outcome is one line of JSON there, and what passed before is not run again; after --seconds no test is begun."""
import json
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gpu_lib  # noqa: E402

began = time.monotonic()


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="every workload in every way, not the usual choice (30 minutes)")
    parser.addoption("--results", type=pathlib.Path, help="append a line of JSON an outcome to this file")
    parser.addoption("--seconds", type=float, default=0, help="begin no test after this (0: whenever)")


def pytest_configure(config):
    refusal = gpu_lib.refusal("test-gpu")
    if refusal:
        pytest.exit(refusal, returncode=3)
    results = config.getoption("--results")
    config.truths_file = results and results.with_name("truths.jsonl")


def pytest_report_header(config):
    return f"{'TRIAL on the CPU' if gpu_lib.TRIAL else 'cards: ' + ', '.join(gpu_lib.cards())}; build: {gpu_lib.BUILD}; interpreter: {gpu_lib.PYTHON}"


def pytest_collection_modifyitems(config, items):
    results = config.getoption("--results")
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results and results.exists() else []
    passed = {line["test"] for line in lines if line["outcome"] == "passed"}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
    items[:] = [item for item in items if item.nodeid not in passed]


def pytest_runtest_setup(item):
    limit = item.config.getoption("--seconds")
    if limit and time.monotonic() - began > limit - 45:  # what a test may take
        pytest.skip("no time left: run it again")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    results = item.config.getoption("--results")
    if results and (report.when == "call" or report.outcome != "passed"):
        why = {} if report.passed else {"why": str(report.longrepr)[-1500:]}
        with open(results, "a", encoding="utf-8") as file:
            file.write(json.dumps({"test": item.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 1), **why}) + "\n")
    return report
