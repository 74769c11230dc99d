"""What programs do with Python's Kubernetes clients: make, change, watch, page through and remove things.

    python python_flows.py kubernetes|kr8s|lightkube KUBECONFIG NAMESPACE

Runs where that client is installed. It needs a manager but no node: its pods need not run. Prints `done` at the end.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
LABELS = {"app": "web"}
# In seconds, for what controllers do a moment later.
PATIENCE = 20


def deployment(namespace: str, **labels: str) -> Json:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "localhost/none:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace, "labels": labels},
        "spec": {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template},
    }


def definition(group: str) -> Json:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def until(condition: Callable[[], Any]) -> Any:
    last = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < last, "it did not come about"
        time.sleep(0.1)
    return found


def soon(action: Callable[[], Any]) -> None:
    threading.Timer(0.5, action).start()


def with_kubernetes(kubeconfig: str, namespace: str) -> None:
    from kubernetes import client, config, dynamic, watch

    config.load_kube_config(kubeconfig)
    core, apps, custom = client.CoreV1Api(), client.AppsV1Api(), client.CustomObjectsApi()
    apps.create_namespaced_deployment(namespace, deployment(namespace))
    assert apps.patch_namespaced_deployment("web", namespace, {"spec": {"replicas": 3}}).spec.replicas == 3
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 1}]
    assert apps.patch_namespaced_deployment("web", namespace, operations).spec.replicas == 1
    assert apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 2}}).spec.replicas == 2

    def pods(**more: Any) -> Any:
        return core.list_namespaced_pod(namespace, label_selector="app=web", **more)

    until(lambda: len(pods().items) == 2)
    first = pods(limit=1)
    second = pods(limit=1, _continue=first.metadata._continue)
    assert first.items[0].metadata.name != second.items[0].metadata.name
    evicted = client.V1ObjectMeta(name=first.items[0].metadata.name)
    core.create_namespaced_pod_eviction(evicted.name, namespace, client.V1Eviction(metadata=evicted))

    about = client.V1ObjectMeta(name="watched")
    soon(lambda: core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=about, data={"a": "b"})))
    watching = watch.Watch()
    for event in watching.stream(core.list_namespaced_config_map, namespace, timeout_seconds=PATIENCE):
        if event["object"].metadata.name == "watched":
            watching.stop()

    client.ApiextensionsV1Api().create_custom_resource_definition(definition("official.example.com"))
    where = ("official.example.com", "v1", namespace, "things")

    def made() -> Any:
        thing = {"apiVersion": "official.example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"a": 1}}
        try:
            return custom.create_namespaced_custom_object(*where, thing)
        except client.ApiException as error:
            if error.status != 404:
                raise
        return None

    until(made)
    assert custom.patch_namespaced_custom_object(*where, "t", {"spec": {"a": 2}})["spec"] == {"a": 2}
    assert custom.patch_namespaced_custom_object_status(*where, "t", {"status": {"b": 1}})["status"] == {"b": 1}
    client.ApiextensionsV1Api().delete_custom_resource_definition("things.official.example.com")

    free = dynamic.DynamicClient(client.ApiClient())
    found = free.resources.get(api_version="apps/v1", kind="Deployment")
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"mine": "yes"}}}
    applied = found.server_side_apply(body=body, name="web", namespace=namespace, field_manager="flows")
    assert applied.metadata.labels.mine == "yes"
    body = client.V1DeleteOptions(propagation_policy="Foreground")
    apps.delete_namespaced_deployment("web", namespace, body=body)


def with_kr8s(kubeconfig: str, namespace: str) -> None:
    import kr8s
    from kr8s.objects import ConfigMap, Deployment

    api = kr8s.api(kubeconfig=kubeconfig)
    web = Deployment(deployment(namespace), api=api)
    web.create()
    web.scale(3)
    web.patch({"metadata": {"labels": {"z": "1"}}})
    web.annotate({"k": "v"})
    web.refresh()
    assert (web.labels["z"], web.annotations["k"]) == ("1", "v")
    until(lambda: len(web.pods()) == 3)
    web.delete(propagation_policy="Background")
    settings = ConfigMap({"metadata": {"name": "kr", "namespace": namespace}, "data": {"a": "b"}}, api=api)
    settings.create()
    settings.patch([{"op": "replace", "path": "/data/a", "value": "c"}], type="json")
    assert settings.data.a == "c"
    assert [each.name for each in api.get("cm", namespace=namespace, field_selector="metadata.name=kr")] == ["kr"]
    soon(settings.delete)
    assert any((kind, each.name) == ("DELETED", "kr") for kind, each in _events(api, namespace))


def _events(api: Any, namespace: str) -> Any:
    for kind, each in api.watch("configmaps", namespace=namespace):
        yield kind, each
        if kind == "DELETED":
            return


def with_lightkube(kubeconfig: str, namespace: str) -> None:
    from lightkube import Client, KubeConfig
    from lightkube import operators as op
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import ConfigMap, Pod
    from lightkube.types import CascadeType, PatchType

    client = Client(KubeConfig.from_file(kubeconfig).get(), namespace=namespace, field_manager="flows")
    client.create(Deployment.from_dict(deployment(namespace)))
    client.patch(Deployment, "web", {"spec": {"replicas": 1}}, patch_type=PatchType.MERGE)
    client.patch(Deployment, "web", {"spec": {"replicas": 3}})
    assert client.get(Deployment.Scale, "web").spec.replicas == 3
    applied = client.apply(Deployment.from_dict(deployment(namespace, mine="yes")), force=True)
    assert (applied.metadata.labels, applied.spec.replicas) == ({"mine": "yes"}, 2)
    until(lambda: len(list(client.list(Pod, labels={"app": op.in_(["web"])}, chunk_size=1))) == 2)
    client.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)
    settings = ConfigMap(metadata=ObjectMeta(name="light", namespace=namespace), data={"a": "b"})
    soon(lambda: client.create(settings))
    assert any(each.metadata.name == "light" for _, each in client.watch(ConfigMap, server_timeout=5))
    client.delete(ConfigMap, "light")


FLOWS = {"kubernetes": with_kubernetes, "kr8s": with_kr8s, "lightkube": with_lightkube}

if __name__ == "__main__":
    FLOWS[sys.argv[1]](*sys.argv[2:4])
    print("done")
