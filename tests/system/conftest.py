# SPDX-License-Identifier: BSD-2-Clause
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

pytest.register_assert_rewrite("p2pdi")
from hooks import (pytest_runtest_logfinish, pytest_runtest_makereport, pytest_runtest_protocol,  # noqa: E402, F401
                   pytest_sessionfinish, shared, world)
