# SPDX-License-Identifier: BSD-2-Clause
"""What the system tests share: the real programs as processes, and both ends of the wire by hand.

Nothing here sleeps. A daemon is ready when it says so (sd_notify), a log line is there when its reader has it. Ports
are chosen by the kernel. Everything lives in a directory of its own, so that any number of tests run at once.

Each module imports only from those before it: base, addresses, documents, wire, fakes, varlink, tool, threads, daemons, world.
"""
