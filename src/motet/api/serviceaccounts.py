"""Pods get the token of their service account (Kubernetes admission plugin ServiceAccount).

The account has to exist; the one called `default` is waited for a moment, since it comes soon after its namespace. Unless
pod or account opts out, every container that mounts nothing there finds the account's token, the cluster's CA and its
namespace below /var/run/secrets/kubernetes.io/serviceaccount.
"""

from __future__ import annotations

import asyncio

import msgspec

from motet.api import podreferences
from motet.api.admission import Lookup, Plugin, Request, is_mirror, refusal
from motet.base import names
from motet.kinds.kind import Json
from motet.store.document import Document

ACCOUNTS = "core/serviceaccounts"
DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
# An hour, and seven seconds by which upstream tells tokens it gave of its own accord from those asked for.
TOKEN_SECONDS = 3607
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_WAIT_SECONDS = 3.0
_NOT_IN_MIRRORS = {"serviceaccounts": "service accounts", podreferences.SECRETS: "secrets"}


class _Named(msgspec.Struct, gc=False, frozen=True):
    name: str = ""


class AccountView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What an account decides for its pods."""

    automount_service_account_token: bool | None = None
    image_pull_secrets: tuple[_Named, ...] | None = None
    secrets: tuple[_Named, ...] | None = None


def _account_name(spec: Json) -> str:
    return str(spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT)


def salt(document: Json, namespace: str, lookup: Lookup) -> bytes | None:
    """What of the account pods are made by; None when this one has to be looked at by itself."""
    spec = document.get("spec")
    if is_mirror(document) or not isinstance(spec, dict):
        return None
    account = lookup(ACCOUNTS).get(_account_name(spec), namespace)
    if account is None or _enforces(account):
        return None
    view = account.view(AccountView)
    if view.automount_service_account_token is None and not view.image_pull_secrets:
        return b""
    return msgspec.json.encode((view.automount_service_account_token, view.image_pull_secrets))


async def admit(request: Request) -> None:
    """Raises Forbidden."""
    pod = request.new or {}
    spec = pod.get("spec")
    if not isinstance(spec, dict):
        return
    if is_mirror(pod):
        _check_mirror(request, pod)
        return
    name = _account_name(spec)
    account = request.lookup(ACCOUNTS).get(name, request.namespace)
    if account is None and name == DEFAULT:
        account = await _soon(request, name)
    if account is None:
        why = f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found'
        raise refusal(request, why)
    view = account.view(AccountView)
    if _enforces(account):
        _check_secrets(request, pod, name, _mountable(view))
    if not spec.get("imagePullSecrets") and view.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": each.name} for each in view.image_pull_secrets]
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = view.automount_service_account_token
    if wanted is not False:
        _mount(spec)


def limit_debugging(request: Request) -> None:
    """Containers that are added to a pod to debug it name no other secrets than its own might. Raises Forbidden."""
    pod = request.new or {}
    name = _account_name(pod["spec"])
    account = request.lookup(ACCOUNTS).get(name, request.namespace)
    if account is not None and _enforces(account):
        _check_secrets(request, pod, name, _mountable(account.view(AccountView)))


async def _soon(request: Request, name: str) -> Document | None:
    """The account, should it appear within a moment."""
    table = request.lookup(ACCOUNTS)
    appeared = asyncio.Event()

    def changed(old: Document | None, new: Document | None) -> None:
        if new is not None and (new.namespace, new.name) == (request.namespace, name):
            appeared.set()

    unlisten = table.listen(changed)
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            await appeared.wait()
    except TimeoutError:
        pass
    finally:
        unlisten()
    return table.get(name, request.namespace)


def _mount(spec: Json) -> None:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    without = [
        each
        for each in containers
        if all(mount.get("mountPath") != MOUNT_PATH for mount in each.get("volumeMounts") or ())
    ]
    if not without:
        return
    volume = names.generate(VOLUME_PREFIX)
    for container in without:
        mount = {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    spec["volumes"] = [*(spec.get("volumes") or ()), {"name": volume, "projected": _sources()}]


def _sources() -> Json:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
    }


def _enforces(account: Document) -> bool:
    return (account.meta.annotations or {}).get(_ENFORCE) == "true"


def _mountable(account: AccountView) -> set[str]:
    return {each.name for each in account.secrets or ()}


def _check_secrets(request: Request, pod: Json, account: str, allowed: set[str]) -> None:
    for part, (resource, _, secret) in podreferences.named(pod):
        if resource == podreferences.SECRETS and secret not in allowed:
            why = f'{part} references secret "{secret}", which is not among those that service account {account} may mount'
            raise refusal(request, why)


def _check_mirror(request: Request, pod: Json) -> None:
    """A mirror pod tells of what a node runs by itself, and must draw nothing out of the API."""
    for _, (resource, _, _) in podreferences.named(pod):
        if resource in _NOT_IN_MIRRORS:
            raise refusal(request, f"a mirror pod may not reference {_NOT_IN_MIRRORS[resource]}")
    for volume in pod["spec"].get("volumes") or ():
        if any(source.get("serviceAccountToken") for source in (volume.get("projected") or {}).get("sources") or ()):
            raise refusal(request, "a mirror pod may not use ServiceAccountToken volume projections")


SERVICE_ACCOUNTS = (
    Plugin("ServiceAccount", admit, mutating=True, resources=("core/pods",), verbs=("CREATE",), salt=salt),
    Plugin(
        "ServiceAccount",
        limit_debugging,
        interest=lambda *asked: asked == ("core/pods", "UPDATE", "ephemeralcontainers"),
    ),
)
