# SPDX-License-Identifier: BSD-2-Clause
"""The same as for the system tests, but that one may take longer: it kills a daemon many times."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
sys.dont_write_bytecode = True

pytest.register_assert_rewrite("p2pdi")
import hooks  # noqa: E402
from hooks import (pytest_runtest_logfinish, pytest_runtest_makereport, pytest_runtest_protocol,  # noqa: E402, F401
                   pytest_sessionfinish, shared, world)

hooks.TEST_SECONDS_MAX = 3600
