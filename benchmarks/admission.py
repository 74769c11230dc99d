"""How long a Pod's admission and defaulting take: what a creation is but for HTTP, the store and the answer.

    python benchmarks/admission.py [--pods 20000] [--json]

Every plugin of a manager is in the chain, in its order, and has something to do: the namespace has a service account with image
pull secrets, a LimitRange that fills in what is missing, a ResourceQuota that counts pods and resources, and Pod Security at the
level `restricted`. Two figures, as the median and the 99th percentile of single pods, of processor time and of time on the clock:

  every pod anew      each pod has a spec that nobody has sent before: schema, defaults, all plugins, validation
  one template        pods of one template, as a ReplicaSet makes them: what was found for the first one is remembered

What is measured is `Pipeline.new`, from the decoded body to the document that is ready to be stored. The author is a user, so the
fields are entered in `managedFields` as well.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from motet.api.admission import Chain, Held, release
from motet.api.http.authorize import Roles
from motet.api.http.nodegraph import NodeGraph
from motet.api.options import RequestOptions
from motet.api.pipeline import Pipeline
from motet.api.quota import admission as quota
from motet.api.quota.book import QuotaBook
from motet.api.rbac.index import RbacIndex
from motet.api.registry import Registry, resources
from motet.api.users import CONTROLLERS, User
from motet.base.clock import SystemClock
from motet.kinds import limitrange, namespace, pod, resourcequota, serviceaccount
from motet.kinds.catalogue import Catalogue
from motet.server.admission import plugins
from motet.store.cache import Cache
from motet.store.sqlite import SqliteStore

NAMESPACE = "shop"
NOTE = "kubernetes.io/limit-ranger"
ADMIN = User("admin", ("system:masters",))


def template(number: int) -> dict[str, Any]:
    """About 2 KB of a pod as users write it, fit for the level `restricted`. `number` makes the spec its own."""
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10}
    confined = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "web",
        "image": "registry.example.com/team/web:1.27.3",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": f"SETTING_{each}", "value": f"value-{number}-{each}"} for each in range(10)],
        "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "config", "mountPath": "/etc/web"}],
        "securityContext": confined,
    }
    proxy = {
        "name": "proxy",
        "image": "registry.example.com/team/proxy:3",
        "args": ["--listen=:9090", "--upstream=127.0.0.1:8080"],
        "ports": [{"name": "proxy", "containerPort": 9090}],
        "securityContext": confined,
    }
    return {
        "containers": [container, proxy],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "config", "configMap": {"name": "web"}}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app": "web"}},
            }
        ],
    }


def document(number: int, spec: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": "web", "tier": "front", "pod-template-hash": "5d9c7b6f4"}
    metadata = {"name": f"web-{number}", "labels": labels, "annotations": {"example.com/checksum": "0" * 64}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def furnish(registry: Registry) -> None:
    """The namespace and what it asks of pods."""
    level = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    default = {"default": {"cpu": "500m", "memory": "512Mi"}, "defaultRequest": {"cpu": "50m", "memory": "64Mi"}}
    limits = {"limits": [{"type": "Container", "max": {"cpu": "4", "memory": "4Gi"}, **default}]}
    hard = {"pods": "1000", "requests.cpu": "500", "requests.memory": "500Gi", "limits.memory": "900Gi"}
    account = {"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "registry"}]}
    for kind, scope, body in (
        (namespace.KIND, "", {"metadata": {"name": NAMESPACE, "labels": level}}),
        (serviceaccount.KIND, NAMESPACE, account),
        (limitrange.KIND, NAMESPACE, {"metadata": {"name": "defaults"}, "spec": limits}),
        (resourcequota.KIND, NAMESPACE, {"metadata": {"name": "share"}, "spec": {"hard": hard}}),
    ):
        await registry.create(kind, scope, body, CONTROLLERS)


async def measure(pipeline: Pipeline, count: int, make: Callable[[int], dict[str, Any]]) -> dict[str, float]:
    """Single pods through the pipeline, in microseconds: of this thread's processor time, and on the clock."""
    used, passed, number = list[int](), list[int](), 0
    options = RequestOptions(field_manager="kubectl-create")
    while number < count:
        # As a body comes off the wire: no part of it is shared with another pod.
        batch = [json.loads(json.dumps(document(each, make(each)))) for each in range(number, number + 500)]
        number += len(batch)
        for body in batch:
            held: Held = []
            began, at = time.thread_time_ns(), time.perf_counter_ns()
            made = await pipeline.new(pod.KIND, NAMESPACE, body, ADMIN, options, held=held)
            passed.append(time.perf_counter_ns() - at)
            used.append(time.thread_time_ns() - began)
            if len(held) != 1 or NOTE not in made["metadata"]["annotations"] or not made["metadata"]["managedFields"]:
                raise AssertionError("the quota, the range or the books were passed by")
            release(held)
    figures: dict[str, float] = {}
    for name, times in (("cpu", sorted(used)), ("clock", sorted(passed))):
        figures |= {f"{name}_p50_us": times[count // 2] / 1000, f"{name}_p99_us": times[count * 99 // 100] / 1000}
    return figures


async def run(directory: Path, count: int) -> dict[str, dict[str, float]]:
    clock = SystemClock()
    store = SqliteStore(directory / "state.db", synchronous="NORMAL")
    await store.open()
    catalogue = Catalogue()
    cache = Cache(store, resources(catalogue))
    await cache.start()
    rbac = RbacIndex(cache.table)
    chain = Chain(
        (*plugins(rbac, Roles(NodeGraph(cache), rbac), clock), *quota.plugins(QuotaBook(cache.table, clock), clock))
    )
    try:
        await furnish(Registry(store, cache, catalogue, clock, admission=chain))
        pipeline = Pipeline(chain, cache.table, clock)
        one = template(0)
        await measure(pipeline, 500, template)
        gc.collect()
        gc.freeze()
        return {
            "every pod anew": await measure(pipeline, count, template),
            "one template": await measure(pipeline, count, lambda _: one),
        }
    finally:
        await cache.close()
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="motet-bench-") as directory:
        results = uvloop.run(run(Path(directory), options.pods))
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, result in results.items():
        cpu = f"CPU p50 {result['cpu_p50_us']:5.0f} us  p99 {result['cpu_p99_us']:5.0f} us"
        print(f"{name:16} {cpu}   clock p50 {result['clock_p50_us']:5.0f} us  p99 {result['clock_p99_us']:6.0f} us")


if __name__ == "__main__":
    main()
