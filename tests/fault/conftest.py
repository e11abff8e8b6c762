# SPDX-License-Identifier: BSD-2-Clause
import os
import shutil
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
sys.dont_write_bytecode = True

pytest.register_assert_rewrite("p2pdi")
import fault  # noqa: E402
from hooks import shared, world  # noqa: E402, F401


def pytest_sessionstart():
    shutil.rmtree(fault.OUT, ignore_errors=True)


def pytest_terminal_summary(terminalreporter):
    for line in fault.totals.lines():
        terminalreporter.write_line(line)
