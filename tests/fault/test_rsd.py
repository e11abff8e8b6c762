# SPDX-License-Identifier: BSD-2-Clause
"""A running registration server on a host that fails: it goes on, and forgets nobody who was given a cookie."""

import pytest

from fault import HANG_SEC, Campaign, Fault, Refused, Wrong
from p2pdi.varlink import Varlink
from p2pdi.wire import Wire, parse_list

REGISTRATION = "org.p2pdi.Registration."


class Life:
    """One registration server that faults happen to, and a peer that is registered all the time."""

    def __init__(self, world):
        self.fault = Fault(world.dir)
        self.patience = HANG_SEC
        self.rs = world.rs({"Server.RequestTimeoutSec": "2s"}, start=False)
        self.rs.environment = dict(self.fault.environment)
        self.rs.start()
        assert self.fault.loaded > 0
        self.campaign = Campaign(self.rs, self.fault, self.restart)
        self.port = 1000
        self.cookie, self.id = self.registered(9)

    def restart(self):
        if self.rs.running:
            self.rs.stop()             # a leak is told at the end
        self.fault.disarm()
        self.rs.start()

    def ask(self, line, status=200, **headers):
        with Wire(self.rs.endpoint, timeout=self.patience) as w:
            reply = w.ask(line, headers)
            if reply.status != status:
                raise Refused(reply.head)
            return reply

    def registered(self, port, cookie=None):
        reply = self.ask("POST Register", Port=port, Host="by-hand", OS="test", Cookie=cookie)
        return reply["Cookie"], reply["Peer-Id"]

    # -- what is done --

    def register(self):
        self.port += 1
        self.new = self.registered(self.port)
        if self.new[1] == self.id:
            raise Wrong("the id of another")

    def forget(self):
        """Whoever came, leaves, so that there are no more and no more."""
        if getattr(self, "new", None):
            self.ask("POST Leave", Cookie=self.new[0])
            self.new = None

    def come_back(self):
        if self.registered(9, self.cookie) != (self.cookie, self.id):
            raise Wrong("another identity")

    def keepalive(self):
        self.ask("POST KeepAlive", Cookie=self.cookie)

    def query(self):
        if self.id not in [str(p[2]) for p in parse_list(self.ask("GET PQuery", Cookie=self.new[0]).body)]:
            raise Wrong("it is not listed")

    def leave(self):
        self.ask("POST Leave", Cookie=self.new[0])
        self.new = None

    def come(self):
        if not getattr(self, "new", None):
            self.register()

    def control(self):
        with Varlink(self.rs.control, self.patience) as v:
            for method in ("GetStatus", "GetMetrics", "GetListeners"):
                self.good(v.call(REGISTRATION + method))
            listed = [self.good(r) for r in v.call_more(REGISTRATION + "List", {"all": True})]
            if int(self.id) not in [r["registration"]["peerId"] for r in listed if "registration" in r]:
                raise Wrong("it is not listed")

    @staticmethod
    def good(reply):
        if "error" in reply:
            raise Refused(reply)
        return reply["parameters"]

    def reload(self):
        mark = self.rs.mark()
        self.rs.reload()
        if not self.rs.count_log("Configuration loaded", mark):
            raise Refused(self.rs.log(mark))

    def ops(self):
        return {
            "register": (self.forget, self.register),
            "return": (lambda: None, self.come_back),
            "keepalive": (lambda: None, self.keepalive),
            "query": (self.come, self.query),
            "leave": (self.come, self.leave),
            "control": (lambda: None, self.control),
            "reload": (lambda: None, self.reload),
        }


@pytest.mark.parametrize("name", ["register", "return", "keepalive", "query", "leave", "control", "reload"])
def test_goes_on(world, name):
    life = Life(world)
    try:
        life.campaign.run(name, *life.ops()[name])
        life.come_back()
        life.rs.restart()
        life.come_back()
    finally:
        life.campaign.finish()
    assert not life.campaign.problems, "\n\n".join(life.campaign.problems)
