# SPDX-License-Identifier: BSD-2-Clause
"""The same as for the system tests, but that one may take longer: it kills a daemon many times."""

import importlib.util
import os
import sys

SYSTEM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system")
spec = importlib.util.spec_from_file_location("system_conftest", os.path.join(SYSTEM, "conftest.py"))
system_conftest = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = system_conftest
spec.loader.exec_module(system_conftest)
system_conftest.TEST_SECONDS_MAX = 3600

from system_conftest import *  # noqa: E402, F401, F403
