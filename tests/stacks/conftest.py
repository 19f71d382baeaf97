"""One stack at a time: tests are run stack by stack, and when the last test of one is done its folder is removed (kept when TVG_STACKS_KEEP is set).
A test's stack is what @pytest.mark.stack names, else its file's name."""
import os
import pathlib
import shutil
import time

import pytest
import stack_lib

clock = {}  # stack: seconds of its tests, installing included


def stack_of(item):
    marked = item.get_closest_marker("stack") if item else None
    return marked.args[0] if marked else item.path.stem.removeprefix("test_") if item else None


def pytest_configure(config):
    config.addinivalue_line("markers", "stack(name): the stack that a test installs")


def is_here(item):
    return pathlib.Path(__file__).parent in item.path.parents


def pytest_collection_modifyitems(items):
    here = [item for item in items if is_here(item)]
    items[:] = [item for item in items if not is_here(item)] + sorted(here, key=stack_of)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    began = time.monotonic()
    result = yield
    if is_here(item):
        name = stack_of(item)
        clock[name] = clock.get(name, 0) + time.monotonic() - began
        if nextitem is None or stack_of(nextitem) != name:
            if not os.environ.get("TVG_STACKS_KEEP"):
                shutil.rmtree(stack_lib.STACKS, ignore_errors=True)
    return result


def pytest_terminal_summary(terminalreporter):
    if clock:
        terminalreporter.section("seconds a stack, installing included")
    for name in clock:
        installed = stack_lib.installed.get(name, (0, 0))
        terminalreporter.write_line(f"{name:14} {clock[name]:6.0f} s, of which {installed[0]:4.0f} s to install {installed[1] / 2 ** 30:4.1f} GiB")
