"""A node that is cut off, and one that loses packets."""

from __future__ import annotations

import math
import time

from tests.faults.bed import GRACE, PATIENCE, REPLICAS, Bed, is_ready, plain, until

from motet.kinds import pod

# From a node's being marked to the other nodes' rules: seconds.
_RULES_FOLLOW = 1.5
# How far from what is expected chance takes a count: further than so many standard deviations once in 30,000 runs.
_DEVIATIONS = 4


def test_a_node_cut_off_for_longer_than_the_toleration_runs_no_duplicate_when_it_is_back(bed: Bed) -> None:
    away = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    bed.create(pod.KIND, plain("stays", "n2", tolerations=[away]))
    (stays,) = until(lambda: bed.running("n2", "stays"))
    on_n2 = {each["metadata"]["uid"] for each in bed.pods() if each["spec"]["nodeName"] == "n2"}
    assert on_n2
    with bed.load("n1", "n3", each=6, timeout=2) as load:
        bed.testbed.cut("n2")
        cut = time.monotonic()
        until(lambda: not bed.ready("n2"), GRACE + 10, "it is not missed")
        missed = time.monotonic()
        assert GRACE * 0.7 < missed - cut < GRACE + 5
        # Meanwhile the pods there run on, and serve who is with them.
        assert set(bed.running("n2", "web")) == on_n2
        until(lambda: elsewhere(bed) == REPLICAS, PATIENCE + 20, "its pods are not replaced")
        replaced = time.monotonic()
        until(lambda: load.served(replaced) > 50, 20)
        bed.testbed.cut("n2", cut=False)
        healed = time.monotonic()
        bed.whole()
        back = time.monotonic()
        until(lambda: load.served(back) > 50, 20)
    print(f"{load.answers} requests served, {len(load.failures)} failed; missed after {missed - cut:.1f} s, "
          f"replaced after {replaced - cut:.1f} s, whole {back - healed:.1f} s after it was healed")  # fmt: skip
    print("failed, in seconds after the cut:", [(f"{each.at - cut:.1f}", each.host) for each in load.failures])
    # Only who was sent there before it was missed waited in vain, and that was no more than the share of its pods.
    assert load.failed(after=missed + _RULES_FOLLOW) == []
    share, asked = len(on_n2) / REPLICAS, load.served(cut, missed) + len(load.failures)
    assert len(load.failures) <= asked * share + _DEVIATIONS * math.sqrt(asked * share * (1 - share))
    assert not on_n2 & set(bed.running("n2", "web")), "what was replaced has ended"
    assert bed.running("n2", "stays") == [stays], "and what is still wanted has not even been restarted"
    assert bed.get(pod.KIND, "stays")["status"]["containerStatuses"][0]["restartCount"] == 0
    bed.request("DELETE", pod.KIND.path("default", "stays"))


def elsewhere(bed: Bed) -> int:
    return sum(is_ready(each) and each["spec"]["nodeName"] != "n2" for each in bed.pods())


def test_a_node_that_loses_a_fifth_of_its_packets_serves_on(bed: Bed) -> None:
    before = {each["metadata"]["uid"] for each in bed.pods()}
    with bed.load("n1", "n2", each=4, timeout=20) as load:
        bed.testbed.lose("n2", 20)
        began = time.monotonic()
        time.sleep(15)
        ended = time.monotonic()
        bed.testbed.lose("n2", 0)
        bed.whole()
        whole = time.monotonic()
        until(lambda: load.served(whole) > 50, 20)
    served, failed = load.served(began, ended), load.failed(began, ended)
    print(f"{served} requests served with the loss, {len(failed)} failed")
    assert served > 100
    assert len(failed) <= served / 50, failed
    assert load.failed(after=whole) == []
    kept = before & {each["metadata"]["uid"] for each in bed.pods()}
    assert len(kept) >= REPLICAS / 2, "it may be missed for a moment, but nobody else"
