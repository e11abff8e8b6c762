# SPDX-License-Identifier: BSD-2-Clause
"""The arithmetic of the experiments; nothing here runs or measures anything."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "net")]
sys.dont_write_bytecode = True

import experiment_plan as plans  # noqa: E402
import experiment_plots as plots  # noqa: E402
import hosts as net  # noqa: E402

NUMBERS = list(range(101, 161))


def run(totals, experiment="task1", uplinks=("8mbit",), reuse=False, sizes=None):
    """One whose peers P1, P2, … took so long for each document, all of them from P0."""
    fetches = [[]] + [[plans.Fetch(i, 100 + k, 0, (sizes or {}).get(100 + k, 1000), 5000000 + k, d, d // 10, 1)
                       for k, d in enumerate(of_peer)] for i, of_peer in enumerate(totals, 1)]
    return plans.Run(experiment, list(uplinks), reuse, len(fetches), fetches, sum(map(len, totals)), 0)


@pytest.mark.parametrize("n", [2, 3, 6, 7, 24])
@pytest.mark.parametrize("experiment", plans.EXPERIMENTS)
def test_everybody_fetches_what_others_hold(experiment, n):
    held = plans.holdings(experiment, n, NUMBERS)
    assert sorted(number for of_peer in held for number in of_peer) == NUMBERS
    for i, order in enumerate(plans.plan(experiment, n, NUMBERS)):
        numbers = [number for number, _ in order]
        assert len(set(numbers)) == len(numbers) == min(50, len(NUMBERS) - len(held[i]))
        assert not set(numbers) & set(held[i])
        assert all(number in held[holder] for number, holder in order)


def test_task1_is_all_from_one():
    orders = plans.plan("task1", 6, NUMBERS)
    assert orders[0] == []
    assert all(order == [(n, 0) for n in NUMBERS[:50]] for order in orders[1:])


def test_task2_begins_where_it_should():
    held = plans.holdings("task2-best", 6, NUMBERS)
    assert [len(of_peer) for of_peer in held] == [10] * 6
    best = plans.plan("task2-best", 6, NUMBERS)
    # Nobody is asked by two at once, as long as all are as quick.
    for k in range(50):
        assert len({order[k][1] for order in best}) == 6
    assert [holder for _, holder in best[4]] == [h for h in (5, 0, 1, 2, 3) for _ in range(10)]
    worst = plans.plan("task2-worst", 6, NUMBERS)
    assert [holder for _, holder in worst[0]] == [h for h in (1, 2, 3, 4, 5) for _ in range(10)]
    assert [holder for _, holder in worst[4]] == [h for h in (0, 1, 2, 3, 5) for _ in range(10)]


def test_cumulative_times():
    r = run([[3, 1, 2], [1, 1, 5]])
    assert plans.cumulative(r.fetches[1]) == [3, 4, 6]
    assert (plans.totals(r), plans.last_usec(r), r.active, r.began_usec) == ([6, 7], 7, [1, 2], 5000000)


def test_median_is_a_run_that_was():
    runs = [run([[d]]) for d in (50, 10, 30, 20, 40)]
    assert plans.median_run(runs) is runs[2]
    assert plans.median_run(runs[:4]) is runs[2]        # of 10, 20, 30, 50
    row = plans.summary(runs)
    assert (row["last_s"], row["last_min_s"], row["last_max_s"], row["runs"]) == ("0.000", "0.000", "0.000", 5)


def test_summary():
    # P0 sends 2 × 3 × 100,000 bytes at 1,000,000 a second: it is busy for 0.6 s of the 0.8 s.
    sizes = dict.fromkeys(range(100, 103), 100000)
    row = plans.summary([run([[100000, 300000, 400000], [200000] * 3], sizes=sizes)])
    assert (row["first_s"], row["last_s"], row["ms_per_rfc"], row["uplink_use"]) == ("0.600", "0.800", "266.67", "0.75")
    assert (row["rfcs"], row["servers_share"], row["tried_again"], row["taken"]) == (3, "0.100", 0, 6)
    assert plans.summary([run([[100]], uplinks=["unlimited"])])["uplink_use"] == "-"


def test_groups_keep_apart_what_differs():
    runs = [run([[1]]), run([[1]], reuse=True), run([[2]]), run([[1]], uplinks=["1mbit"]), run([[1], [1]])]
    assert [len(group) for group in plans.grouped(runs)] == [2, 1, 1, 1]


def test_uplinks():
    assert [plans.parse_rate(t) for t in ("unlimited", "8kbit", "10mbit", "1.5gbit")] == [None, 8000, 10**7, 15 * 10**8]
    for bad in ("", "10", "10MB", "10mbit/s", "-1mbit", "1kbit", "mbit"):
        with pytest.raises(ValueError):
            plans.parse_uplinks(bad)
    uplinks = plans.parse_uplinks("2mbit,10mbit")
    assert [plans.uplink_of(uplinks, i) for i in range(3)] == ["2mbit", "10mbit", "10mbit"]


def test_names_of_documents():
    assert plans.document_number("rfc9110.txt") == 9110
    for other in ("rfc0.txt", "rfc07.txt", "rfc9110.pdf", "RFC9110.txt", "rfc9110.txt~", "rfc-index.txt"):
        assert plans.document_number(other) is None


def test_sizes_are_like_those_of_rfcs():
    sizes = plans.synthetic_sizes()
    assert sizes == plans.synthetic_sizes() and len(sizes) == 60
    middle = sorted(sizes)
    assert 33000 < middle[30] < 39000 and middle[0] > 2000 and 300000 < middle[-1] < 900000
    assert 50000 < sum(sizes) / 60 < 65000


def test_counters_of_tcp():
    text = "Ip: Forwarding\nIp: 1\nTcp: ActiveOpens PassiveOpens RetransSegs\nTcp: 3 40 5\nUdp: X\nUdp: 1\n"
    assert net.parse_tcp_counters(text) == {"ActiveOpens": 3, "PassiveOpens": 40, "RetransSegs": 5}


def test_rows_and_scripts():
    r = run([[3, 1], [1, 1]])
    rows = list(plans.fetch_rows(r, 1))
    assert all(len(row) == len(plans.FETCH_COLUMNS) for row in rows)
    assert [row[plans.FETCH_COLUMNS.index("cumulative_usec")] for row in rows] == [3, 4, 1, 2]
    assert [row[plans.FETCH_COLUMNS.index("began_usec")] for row in rows] == [0, 1, 0, 1]
    script = plots.cumulative_script([r])
    assert "$r0_0 << END\n0 0\n1 0.003\n2 0.004\nEND\n" in script and 'title "P2"' in script
    script = plots.scaling_script([("here", [r, run([[4]] * 5, reuse=True)])])
    assert "$s0_0 << END\n3 0.002\nEND\n" in script and "$s0_1 << END\n6 0.004\nEND\n" in script
