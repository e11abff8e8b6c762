#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""One client of the soak that looks closely: each reply is checked as a whole. What keeps the daemons at their limit are others (loads.py).

  actors.py SCENE NAME SECONDS

SCENE: what soak.py has written of the group, JSON. It ends after so many seconds, or when stdin ends, and prints one line of JSON:
{"kinds": {kind: {"times": [[µs, how many]], "failed": n, "cut": n}}, "told": [what went wrong, the first of it]}.
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "system")]
sys.dont_write_bytecode = True
import actors_control as control  # noqa: E402
import actors_wire as wire  # noqa: E402

ACTORS = {a.__name__.lower(): a for a in (
    wire.Registrar, wire.Follower, wire.Churn, wire.Restarted, wire.Slow,
    control.Circle, control.Keeper, control.Sync, control.Control, control.Registry, control.Monitor, control.Verify, control.Tool)}


def main():
    scene, name, seconds = sys.argv[1:]
    with open(scene, encoding="utf-8") as f:
        actor = ACTORS[name](json.load(f))
    actor.run(float(seconds))
    print(json.dumps(actor.said()))


if __name__ == "__main__":
    main()
