"""What a pod may do with the token of its service account."""

from e2e.cluster import until
from e2e.space import Space, pause, pod

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# The machine's own curl with its libraries: the image has no client that checks a certificate.
_HOST = ("/usr", "/lib", "/lib64", "/etc/ssl")


def asking(name: str) -> dict[str, object]:
    mounts = [{"name": f"h{index}", "mountPath": path, "readOnly": True} for index, path in enumerate(_HOST)]
    volumes = [{"name": f"h{index}", "hostPath": {"path": path}} for index, path in enumerate(_HOST)]
    return pod(name, pause(volumeMounts=mounts), volumes=volumes)


def ask(space: Space, path: str) -> tuple[str, str]:
    """Code and body of a GET by the pod, which trusts the mounted CA and shows the mounted token."""
    script = (
        f'/usr/bin/curl -sS --cacert {_ACCOUNT}/ca.crt -H "Authorization: Bearer $(cat {_ACCOUNT}/token)" '
        f"-w '\\n%{{http_code}}' https://kubernetes.default.svc{path}"
    )
    body, _, code = space.exec("asker", "sh", "-c", script).rpartition("\n")
    return code, body


def test_a_pod_lists_its_own_namespaces_pods_once_it_may(space: Space) -> None:
    space.apply(asking("asker"))
    space.running("asker")
    path = f"/api/v1/namespaces/{space.namespace}/pods"
    code, body = ask(space, path)
    assert (code, f"system:serviceaccount:{space.namespace}:default" in body) == ("403", True), body
    space.kubectl("create", "role", "reader", "--verb=list", "--resource=pods")
    space.kubectl("create", "rolebinding", "reads", "--role=reader", f"--serviceaccount={space.namespace}:default")
    code, body = until(lambda: (found := ask(space, path))[0] == "200" and found)
    assert '"name":"asker"' in body
    assert ask(space, "/api/v1/namespaces/kube-system/pods")[0] == "403"
    assert space.exec("asker", "cat", f"{_ACCOUNT}/namespace") == space.namespace


def test_the_key_of_tokens_is_changed_while_everything_runs(space: Space) -> None:
    def whose(token: str) -> str:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        _, answer = space.cluster.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
        return answer["status"].get("user", {}).get("username", "")  # type: ignore[no-any-return]

    name = f"system:serviceaccount:{space.namespace}:default"
    old = space.kubectl("create", "token", "default").strip()
    space.cluster.motet("ca", "rotate-token-key")
    new = space.kubectl("create", "token", "default").strip()
    assert (whose(old), whose(new)) == (name, name)
    space.cluster.motet("ca", "rotate-token-key", "--forget-old")
    assert (whose(old), whose(new)) == ("", name)
