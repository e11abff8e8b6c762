# SPDX-License-Identifier: BSD-2-Clause
import os
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# What is compiled goes to the build directory, for all files of tests: else each would compile p2pdi/ anew. The source may be read-only.
sys.dont_write_bytecode = "P2PDI_BUILDDIR" not in os.environ
if not sys.dont_write_bytecode:
    sys.pycache_prefix = os.path.join(os.environ["P2PDI_BUILDDIR"], "tests", "pycache")

# What tests write, and have flushed, is gone in the end: in memory, where there is room and programs may run. Whoever gives TMPDIR has his way.
MEMORY, ROOM = "/dev/shm", 2 << 30
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK):
    fs = os.statvfs(MEMORY)
    if fs.f_bavail * fs.f_frsize >= ROOM and not fs.f_flag & os.ST_NOEXEC:
        tempfile.tempdir = MEMORY

pytest.register_assert_rewrite("p2pdi")
from hooks import (pytest_runtest_logfinish, pytest_runtest_makereport, pytest_runtest_protocol,  # noqa: E402, F401
                   pytest_sessionfinish, shared, world)
