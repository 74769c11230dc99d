"""A worker whose disk is full."""

from __future__ import annotations

import os
import signal
import time

from tests.faults.bed import Bed, plain, until
from tests.faults.test_manager import agent_of, alive, fill

from motet.kinds import pod


def test_a_node_whose_disk_is_full_says_so_takes_no_pods_and_recovers(bed: Bed) -> None:
    before = alive(bed)
    filler = bed.box("n3").machine.data_dir / "filler"
    with bed.load(each=1) as load:
        try:
            fill(str(filler))
            until(lambda: bed.condition("n3", "DiskPressure").get("status") == "True", 15)
            assert "disk pressure" in bed.motet("node", "ls")
            wants = plain("wants", "")
            wants["spec"] |= {"nodeName": "", "nodeSelector": {"kubernetes.io/hostname": "n3"}}
            bed.create(pod.KIND, wants)
            until(lambda: "untolerated taint {node.kubernetes.io/disk-pressure: }" in waits(bed), 15)
            # Neither may an agent that has to start there be kept from it.
            os.kill(agent_of(bed, "n3"), signal.SIGKILL)
            killed = time.monotonic()
            until(lambda: load.served(killed) > 60, 20)
        finally:
            filler.unlink()
        until(lambda: bed.running("n3", "wants"), 30, "it does not recover")
        recovered = time.monotonic()
        until(lambda: load.served(recovered) > 60, 20)
    print(f"{load.answers} requests served, {len(load.failures)} failed")
    assert load.failures == []
    assert alive(bed) == before, "nothing was replaced or restarted"
    assert bed.condition("n3", "DiskPressure")["status"] == "False"
    bed.request("DELETE", pod.KIND.path("default", "wants"))


def waits(bed: Bed) -> str:
    conditions = bed.get(pod.KIND, "wants")["status"].get("conditions", ())
    return " ".join(each.get("message", "") for each in conditions)
