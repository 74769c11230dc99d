"""One test's namespace on the shared cluster: short words for what tests do all the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from e2e.cluster import IMAGE, PATIENCE, Cluster, Json, resource_path, until


def container(*command: str, name: str = "app", **fields: Any) -> Json:
    return {"name": name, "image": IMAGE, "command": list(command), **fields}


def shell(script: str, name: str = "app", **fields: Any) -> Json:
    return container("sh", "-c", script, name=name, **fields)


def pause(**fields: Any) -> Json:
    return container("pause", **fields)


# Answers with its name, says so to its log, and keeps serving for a moment after it is told to go.
WEB = {
    "name": "web",
    "image": IMAGE,
    "command": ["sh", "-c", "echo $VERSION $HOSTNAME > /www/index.html; exec httpd -f -v -p 8080 -h /www"],
    "ports": [{"containerPort": 8080, "name": "http"}],
    "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
    "lifecycle": {"preStop": {"exec": {"command": ["sleep", "1"]}}},
    "env": [{"name": "VERSION", "value": "v1"}],
}


def pod(name: str, *containers: Json, **spec: Any) -> Json:
    labels = {"app": name}
    given = {"terminationGracePeriodSeconds": 2, "containers": list(containers), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": given}


def deployment(name: str, replicas: int, *containers: Json, strategy: Json | None = None, **spec: Any) -> Json:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod(name, *containers, **spec)["spec"]}
    body: Json = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    if strategy:
        body["strategy"] = strategy
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": body}


def service(name: str, port: int = 80, target: int | str = 8080, **spec: Any) -> Json:
    body = {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": target}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


class Space:
    """A namespace. What fails to happen in time fails the test with the object's state."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def apply(self, *documents: Json | str) -> None:
        self.cluster.apply(*documents, namespace=self.namespace)

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = PATIENCE) -> str:
        return self.cluster.kubectl("-n", self.namespace, *words, stdin=stdin, timeout=timeout)

    def get(self, resource: str, name: str) -> Json:
        return self.cluster.read(resource_path(resource, name, self.namespace))

    def list(self, resource: str, labels: str = "") -> list[Json]:
        query = {"labelSelector": labels} if labels else None
        found: list[Json] = self.cluster.read(resource_path(resource, "", self.namespace, query))["items"]
        return found

    def pods(self, labels: str = "") -> list[Json]:
        """Those that are not being deleted."""
        return [found for found in self.list("pods", labels) if "deletionTimestamp" not in found["metadata"]]

    def wait(
        self, resource: str, name: str, holds: Callable[[Json], Any], timeout: float = PATIENCE, what: str = ""
    ) -> Json:
        """The object as soon as `holds(object)`; a missing field counts as not yet."""
        last: Json = {}

        def look() -> Json | None:
            nonlocal last
            last = self.get(resource, name)
            try:
                return last if holds(last) else None
            except (KeyError, IndexError, StopIteration):
                return None

        try:
            return until(look, timeout, what or "not as expected")
        except AssertionError as error:
            raise AssertionError(f"{resource}/{name}: {error}\n{last.get('status')}\n{self.events()}") from None

    def running(self, name: str, timeout: float = PATIENCE) -> Json:
        """The pod, running and ready."""
        return self.wait("pods", name, lambda found: found["status"]["phase"] == "Running" and ready(found), timeout)

    def ended(self, name: str) -> Json:
        """The pod with all its containers ended for good."""
        return self.wait("pods", name, lambda found: found["status"]["phase"] in ("Succeeded", "Failed"))

    def rolled_out(self, name: str, timeout: float = 90.0) -> None:
        self.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={timeout:g}s", timeout=timeout + 10)

    def logs(self, name: str, *options: str) -> str:
        return self.kubectl("logs", name, *options)

    def exec(self, name: str, *command: str, container: str = "") -> str:
        which = ("-c", container) if container else ()
        return self.kubectl("exec", name, *which, "--", *command)

    def events(self, name: str = "") -> list[str]:
        """`Type Reason: message` of the namespace's events, of one object if named."""
        return [
            f"{event['type']} {event['reason']}: {event['message']}"
            for event in self.list("events")
            if not name or event["involvedObject"]["name"] == name
        ]

    def event(self, name: str, reason: str, timeout: float = PATIENCE) -> str:
        """The first event with that reason, once there is one."""
        return until(
            lambda: next((text for text in self.events(name) if text.split()[1] == f"{reason}:"), ""),
            timeout,
            f"no event {reason} for {name}",
        )

    def address(self, name: str) -> str:
        """A service's cluster address."""
        found: str = self.get("services", name)["spec"]["clusterIP"]
        return found


def ready(found: Json) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in found["status"].get("conditions", []))


def state(found: Json, name: str = "app") -> Json:
    """`containerStatuses` of one container."""
    status: Json = next(item for item in found["status"]["containerStatuses"] if item["name"] == name)
    return status
