# SPDX-License-Identifier: BSD-2-Clause
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

pytest.register_assert_rewrite("box")
import box  # noqa: E402
from hooks import pytest_runtest_logfinish, pytest_runtest_protocol  # noqa: E402, F401


@pytest.fixture(scope="session", autouse=True)
def can_boot():
    reason = box.missing()
    if reason:
        pytest.skip(reason)
    if not box.PACKAGES and not box.DESTDIR:
        pytest.skip("nothing to install: run make check-boot, or set P2PDI_DEB to a directory with the packages")


@pytest.fixture
def hosts():
    h = box.Hosts()
    yield h
    h.close()


@pytest.fixture(scope="session")
def one_host():
    h = box.Hosts()
    yield h
    h.close()


@pytest.fixture
def host(request, one_host):
    """One host, with everything installed and nothing running. The next test gets the same one, unless this one fails."""
    host = one_host.again()
    yield host
    if request.node.failed:
        one_host.close()


@pytest.fixture(scope="module")
def calm():
    """One host for all tests of a file that change nothing on it, with both daemons running."""
    h = box.Hosts()
    one = h.new("calm")
    one.configure_peer("[Registration]\nServer=localhost\n")
    one.start("p2pdi-rsd", "p2pdi-peerd")
    one.wait_registered()
    yield one
    h.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A test that failed shows the journals of its hosts."""
    outcome = yield
    report = outcome.get_result()
    item.failed = getattr(item, "failed", False) or report.failed
    if not report.failed:
        return
    for hosts in item.funcargs.values():
        if isinstance(hosts, box.Hosts):
            report.sections += [(f"journal of {name}", log) for name, log in hosts.logs()]
