# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-ctl: run to its end, beside the test, or on a terminal."""

import errno
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time

import pytest

from p2pdi.base import PATIENCE, SANITIZER, program


class Result:
    def __init__(self, arguments, code, out, err):
        self.arguments, self.code, self.out, self.err = arguments, code, out, err

    @property
    def text(self):
        return self.out.decode()

    def __repr__(self):
        return (f"p2pdi-ctl {' '.join(self.arguments)}: exit {self.code}\n"
                f"stdout: {self.out[:2000]!r}\nstderr: {self.err}")


def start_ctl(*arguments, control=None, rs=False, **options):
    command = [program("p2pdi-ctl")]
    if control:
        command.append(f"--control={control}")
    if rs:
        command.append("--rs")
    return subprocess.Popen(command + list(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


def end_ctl(process, arguments=(), timeout=60):
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"p2pdi-ctl {' '.join(arguments)} does not end") from None
    result = Result(arguments, process.returncode, out, err.decode("utf-8", "replace"))
    assert not SANITIZER.search(result.err), result
    return result


def ctl(*arguments, control=None, rs=False, timeout=60, **options):
    return end_ctl(start_ctl(*arguments, control=control, rs=rs, **options), arguments, timeout)


def with_mounts(script, *arguments):
    """What a shell said that may mount what it likes; "$1" is p2pdi-ctl, then come the arguments. 99: it could not mount."""
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    r = subprocess.run(["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", program("p2pdi-ctl"), *arguments],
                       capture_output=True, text=True, check=False, timeout=60)
    if r.returncode == 99 or r.stderr.startswith("unshare:"):
        pytest.skip(f"namespaces can't be had here: {r.stderr}")
    return r


class Terminal:
    """p2pdi-ctl on a terminal of its own. environment: what differs from ours, None: unset."""

    def __init__(self, *arguments, control=None, columns=80, lines=50, environment=None, stdout=None, stderr=None,
                 command=None):
        command = command or [program("p2pdi-ctl")]
        command = command + ([f"--control={control}"] if control else []) + list(arguments)
        env = {name: value for name, value in os.environ.items()
               if not re.match(r"(SYSTEMD_|LESS|PAGER|NO_COLOR|COLUMNS|LINES|SUDO_UID|TERM)", name)}
        env.update({"TERM": "xterm", "SYSTEMD_PAGER": ""})
        for name, value in (environment or {}).items():
            env.pop(name, None)
            if value is not None:
                env[name] = value
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        try:
            self.process = subprocess.Popen(
                command, stdin=slave, stdout=slave if stdout is None else stdout, stderr=slave if stderr is None else stderr,
                env=env, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        finally:
            os.close(slave)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    @property
    def text(self):
        return self.data.decode("utf-8", "replace")

    def resize(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def _read(self, end):
        """Some more output. false: no more comes."""
        left = end - time.monotonic()
        assert left > 0, f"nothing more comes after {self.text[-2000:]!r}"
        if not select.select([self.master], [], [], left)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError as e:
            if e.errno != errno.EIO:            # nobody has the other end open any more
                raise
            return False
        self.data += data
        return bool(data)

    def wait_text(self, text, times=1):
        end = time.monotonic() + PATIENCE
        while self.text.count(text) < times:
            assert self._read(end), f"ended without {text!r}: {self.text[-2000:]!r}"

    def wait_match(self, pattern, from_here=0):
        """from_here: how much of the text was there already."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.data[from_here:].decode("utf-8", "replace")):
            assert self._read(end), f"ended without {pattern!r}: {self.text[-2000:]!r}"

    def drain(self):
        """All that it wrote up to now."""
        while select.select([self.master], [], [], 0)[0] and self._read(time.monotonic() + PATIENCE):
            pass

    def end(self):
        """Waits until it ends; everything it wrote is in text. Its exit code, negative: the signal."""
        end = time.monotonic() + PATIENCE
        while self._read(end):
            pass
        assert not SANITIZER.search(self.text), self.text
        return self.process.wait(timeout=PATIENCE)
