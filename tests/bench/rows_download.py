# SPDX-License-Identifier: BSD-2-Clause
"""Downloads, from p2pdi-ctl's start to its end, against what else brings many files over: all from this host, over loopback, into an
empty directory, and on disk in the end (ours by itself; the others by sync -f behind them; aria2c goes without).

What was fetched is removed when all rounds are over: ext4 without a journal does not use an inode again for minutes, and
looks at all those that were freed lately for each file that is made, which costs whoever comes next several times what
is measured here."""

import os
import shlex
import shutil
import subprocess

import programs
from harness import Figure, Row, Scene
from p2pdi.base import program, until

FULL = 9148


class Holders(Scene):
    """The same documents at a peer, at nginx and at an rsync daemon."""

    n = None

    def __init__(self, bench):
        super().__init__(bench)
        self.corpus = bench.corpus(self.n)
        self.rs = bench.rs()
        self.peer = bench.peer(self.rs, self.corpus.directory)
        self.peer.wait_scanned(len(self.corpus.numbers))
        self.peer.wait_registered()
        self.others = {}
        self.fetched = []
        # What is fetched without a vote is what the editor's index has.
        self.index = os.path.join(bench.fresh("index"), "rfc-index.txt")
        with open(self.index, "w", encoding="utf-8") as f:
            f.write("RFC INDEX\n---------\n\n" + "".join(
                f"{n} Title of {n}. A. Author. June 2014. (Format: TXT) (Status: INFORMATIONAL)\n\n" for n in self.corpus.numbers))

    def other(self, start, *arguments):
        if start not in self.others:
            self.others[start] = start(self.bench, self.corpus.directory, *arguments)
        return self.others[start].text

    def close(self):
        for other in self.others.values():
            other.close()
        for directory in self.fetched:
            shutil.rmtree(directory, ignore_errors=True)
        self.bench.drop(self.peer)
        self.bench.drop(self.rs)


class Fifty(Holders):
    n = 50


class Full(Holders):
    n = FULL


class Download(Row):
    others = ()                 # (key, program)
    order = 60

    def settle(self):
        """What was written before is on disk, so that nobody has to write it on another's account."""
        subprocess.run(["sync", "-f", self.bench.work], check=True)

    def fetch(self, *arguments):
        """A peer that has nothing yet, and knows who has what, as any that has run for a while. Gives what it took."""
        b, s = self.bench, self.scene
        peer = b.peer(s.rs, ini={"Index.MetadataFile": s.index})
        s.fetched.append(peer.dir)
        try:
            peer.wait_registered()
            until(lambda: peer.json("status").get("metadataEntries"), "what the editor has issued")
            peer.json("refresh")
            self.settle()
            cpu = programs.cpu_seconds([peer.pid])
            served = programs.cpu_seconds([s.peer.pid])
            seconds = programs.timed([program("p2pdi-ctl"), f"--control={peer.control}", "-q", *arguments])
            cpu, served = programs.cpu_seconds([peer.pid]) - cpu, programs.cpu_seconds([s.peer.pid]) - served
            s.corpus.compare(peer.library)
            return {**{key: seconds for key, _ in self.others}, "seconds": seconds, "cpu": cpu, "served": served,
                    "peak": programs.peak(peer.pid) / 1e6}
        finally:
            b.retire(peer)

    def theirs(self):
        return {key: getattr(self, key)() for key, command in self.others if shutil.which(command)}

    def into(self, command, flush=True):
        """command: a function of the directory. Gives seconds."""
        directory = self.bench.fresh("there")
        self.scene.fetched.append(directory)
        text = shlex.join(command(directory)) + (f" && sync -f {shlex.quote(directory)}" if flush else "")
        self.settle()
        seconds = programs.timed(["sh", "-c", text])
        self.scene.corpus.compare(directory)
        return seconds

    def urls(self):
        text = self.scene.other(programs.nginx, os.cpu_count())
        return [(f"http://{text}/rfc/{programs.name_of(n)}", programs.name_of(n)) for n in self.scene.corpus.numbers]

    def curl(self):
        def command(directory):
            config = os.path.join(self.bench.work, "curl.conf")
            with open(config, "w", encoding="utf-8") as f:
                f.writelines(f'url = "{url}"\noutput = "{directory}/{name}"\n' for url, name in self.urls())
            return ["curl", "--silent", "--show-error", "--fail", "--parallel", "--config", config]
        return self.into(command)

    def aria2(self):
        def command(directory):
            given = os.path.join(self.bench.work, "aria2.urls")
            with open(given, "w", encoding="utf-8") as f:
                f.writelines(f"{url}\n out={name}\n" for url, name in self.urls())
            return ["aria2c", "--quiet", "--no-conf", "--file-allocation=none", "--max-concurrent-downloads=16", f"--dir={directory}",
                    f"--input-file={given}"]
        return self.into(command, flush=False)

    def rsync(self):
        text = self.scene.other(programs.rsync_daemon)
        return self.into(lambda directory: ["rsync", "--recursive", "--times", f"rsync://{text}/rfc/", directory + "/"])


class GetFifty(Download):
    name = "get-50"
    scene_type = Fifty
    needs = ("nginx", "curl")
    others = (("curl", "curl"), ("aria2", "aria2c"))
    figures = (Figure("curl", "get of 50, curl --parallel, sync -f", "s", 1.0),
               Figure("aria2", "get of 50, aria2c", "s", 0.5, needs=("aria2c",)),
               Figure("cpu", "CPU of the peer that gets", "s"), Figure("served", "CPU of the peer that serves", "s"))

    def ours(self):
        return self.fetch("get", *map(str, self.scene.corpus.numbers))


class SyncFull(Download):
    name = "sync-full"
    scene_type = Full
    needs = ("nginx", "curl")
    others = (("rsync", "rsync"), ("curl", "curl"), ("aria2", "aria2c"))
    figures = (Figure("rsync", "sync of all, rsync, sync -f", "s", 1.0, needs=("rsync",)),
               Figure("curl", "sync of all, curl --parallel, sync -f", "s", 1.0),
               Figure("aria2", "sync of all, aria2c", "s", 0.3, needs=("aria2c",)),
               Figure("cpu", "CPU of the peer that gets", "s"), Figure("served", "CPU of the peer that serves", "s"),
               Figure("peak", "its memory at most", "MB"))

    def ours(self):
        return self.fetch("sync")


ROWS = [GetFifty, SyncFull]
