# SPDX-License-Identifier: BSD-2-Clause
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
sys.dont_write_bytecode = True

pytest.register_assert_rewrite("p2pdi", "group")
import group as groups  # noqa: E402
import hosts  # noqa: E402
from hooks import pytest_runtest_logfinish, pytest_runtest_protocol, pytest_sessionfinish  # noqa: E402, F401

# Lines of each log that are shown of a test that failed.
LOG_LINES_MAX = 100


@pytest.fixture(scope="session", autouse=True)
def inside():
    if not os.environ.get(hosts.INSIDE):
        pytest.skip("these tests make hosts: run make check-net, or tests/net/hosts.py with pytest behind it")
    hosts.prepare()


@pytest.fixture
def group():
    """group(n): a world of n hosts."""
    made = []

    def make(n):
        made.append(groups.Group(n))
        return made[-1]
    make.made = made
    yield make
    for g in made:
        g.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A test that failed shows what its daemons said."""
    outcome = yield
    report = outcome.get_result()
    make = getattr(item, "funcargs", {}).get("group")
    if report.failed and make:
        for name, log in (entry for g in make.made for entry in g.logs()):
            report.sections.append((f"log of {name}", "\n".join(log.split("\n")[-LOG_LINES_MAX:])))
