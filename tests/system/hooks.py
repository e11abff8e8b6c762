# SPDX-License-Identifier: BSD-2-Clause
"""What pytest does around tests of daemons, for the conftest.py of each directory to take what it needs of it."""

import faulthandler
import signal

import pytest

from p2pdi.world import World

# What was started with nohup or by a script's "&" ignores these; programs inherit that, and tests send them signals.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# A test that hangs for all its own deadlines must not hang for ever: show where it stands, and end.
TEST_SECONDS_MAX = 300
# Lines of each log that are shown of a test that failed.
LOG_LINES_MAX = 200


@pytest.fixture
def world():
    w = World()
    yield w
    w.close()


@pytest.fixture(scope="module")
def shared():
    """A world for all tests of a file, for daemons that no test changes."""
    w = World()
    yield w
    w.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    faulthandler.dump_traceback_later(TEST_SECONDS_MAX, exit=True)


def pytest_runtest_logfinish():
    faulthandler.cancel_dump_traceback_later()


def pytest_sessionfinish(session, exitstatus):
    """A file of which nothing ran was skipped, and make check shall say so: 77."""
    told = session.config.pluginmanager.get_plugin("terminalreporter").stats
    if exitstatus == 0 and told.get("skipped") and not told.get("passed"):
        session.exitstatus = 77


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A test that failed shows what its daemons said."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for world in item.funcargs.values():
        if not isinstance(world, World):
            continue
        for name, log in world.logs():
            lines = log.split("\n")
            report.sections.append((f"log of {name}", "\n".join(lines[-LOG_LINES_MAX:])))
