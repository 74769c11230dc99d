"""The roles and bindings every cluster begins with (Kubernetes "Default roles and role bindings").

Names and powers are upstream's, because charts and people rely on them; what Motet's own kinds need is beside them. The roles
of upstream's single controllers (system:controller:*) are left out: here the loops are one process and no users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from motet.kinds.kind import Json
from motet.kinds.rbac import GROUP, clusterrole, clusterrolebinding, role, rolebinding
from motet.kinds.rbac.bindings import ACCOUNT, GROUP_KIND, USER

AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}

_READ = "get list watch"
_WRITE = "create delete deletecollection patch update"
_HEALTH = "/livez /readyz /healthz"
_EVENTS = ("create patch update", "", "events"), ("create patch update", "events.k8s.io", "events")
_REVIEWS = (
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "subjectaccessreviews"),
)
# Words separated by spaces: verbs, group, resources and perhaps names; or verbs and paths.
_Line = tuple[str, str, str] | tuple[str, str, str, str] | tuple[str, str]

_EDITED: tuple[_Line, ...] = (
    (_READ, "", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    ("impersonate", "", "serviceaccounts"),
    (_WRITE, "", "pods pods/attach pods/exec pods/portforward pods/proxy"),
    ("create", "", "pods/eviction"),
    (
        _WRITE,
        "",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
    ),
    ("create", "", "serviceaccounts/token"),
    (
        _WRITE,
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
    ),
    (_WRITE, "autoscaling", "horizontalpodautoscalers"),
    (_WRITE, "batch", "cronjobs jobs"),
    (_WRITE, "policy", "poddisruptionbudgets"),
    (_WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    (f"{_READ} {_WRITE}", "coordination.k8s.io", "leases"),
    (_WRITE, "motet.dev", "apps apps/scale networks"),
)

_VIEWED: tuple[_Line, ...] = (
    (
        _READ,
        "",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
    ),
    (
        _READ,
        "",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
    ),
    (_READ, "", "namespaces"),
    (_READ, "discovery.k8s.io", "endpointslices"),
    (
        _READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    (_READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    (_READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    (_READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    (_READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    (_READ, "metrics.k8s.io", "nodes pods"),
    (_READ, "motet.dev", "apps apps/scale apps/status networks"),
)

_NODE: tuple[_Line, ...] = (
    *_REVIEWS,
    ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    (_READ, "", "services"),
    (f"create {_READ}", "", "nodes"),
    ("patch update", "", "nodes nodes/status"),
    *_EVENTS,
    (f"create delete {_READ}", "", "pods"),
    ("patch update", "", "pods/status"),
    ("create", "", "pods/eviction serviceaccounts/token"),
    (_READ, "", "configmaps secrets"),
    ("get", "", "endpoints persistentvolumeclaims persistentvolumes"),
    ("get patch update", "", "persistentvolumeclaims/status"),
    (f"create {_READ}", "certificates.k8s.io", "certificatesigningrequests"),
    ("create delete get patch update", "coordination.k8s.io", "leases"),
    ("get", "storage.k8s.io", "volumeattachments"),
    (_READ, "storage.k8s.io", "csidrivers"),
    ("create delete get patch update", "storage.k8s.io", "csinodes"),
    (_READ, "node.k8s.io", "runtimeclasses"),
)

_SCHEDULER: tuple[_Line, ...] = (
    *_EVENTS,
    ("create", "coordination.k8s.io", "leases"),
    ("get update", "coordination.k8s.io", "leases", "kube-scheduler"),
    (_READ, "", "nodes"),
    (f"delete {_READ}", "", "pods"),
    ("create", "", "bindings pods/binding"),
    ("patch update", "", "pods/status"),
    (_READ, "", "namespaces persistentvolumeclaims persistentvolumes replicationcontrollers services"),
    (_READ, "apps", "replicasets statefulsets"),
    (_READ, "policy", "poddisruptionbudgets"),
    *_REVIEWS,
    (_READ, "storage.k8s.io", "csidrivers csinodes csistoragecapacities"),
)

_CONTROLLER_MANAGER: tuple[_Line, ...] = (
    *_EVENTS,
    ("create", "coordination.k8s.io", "leases"),
    ("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
    ("create", "", "secrets serviceaccounts serviceaccounts/token"),
    ("delete", "", "secrets"),
    ("get", "", "configmaps namespaces secrets serviceaccounts"),
    ("update", "", "secrets serviceaccounts"),
    *_REVIEWS,
    ("list watch", "*", "*"),
)


def _approver(signer: str) -> tuple[_Line, ...]:
    return (("approve", "certificates.k8s.io", "signers", f"kubernetes.io/{signer}"),)


_CLUSTER_ROLES: dict[str, tuple[_Line, ...]] = {
    "cluster-admin": (("*", "*", "*"), ("*", "*")),
    "system:discovery": (("get", f"{_HEALTH} /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*"),),
    "system:monitoring": (("get", f"{_HEALTH} /livez/* /readyz/* /healthz/* /metrics /metrics/slis"),),
    "system:basic-user": (
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:public-info-viewer": (("get", f"{_HEALTH} /version /version/"),),
    "system:service-account-issuer-discovery": (("get", "/.well-known/openid-configuration /openid/v1/jwks"),),
    "system:aggregate-to-admin": (
        ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
        (f"{_READ} {_WRITE}", GROUP, "rolebindings roles"),
    ),
    "system:aggregate-to-edit": _EDITED,
    "system:aggregate-to-view": _VIEWED,
    "system:node": _NODE,
    "system:node-problem-detector": (("get", "", "nodes"), ("patch", "", "nodes/status"), *_EVENTS),
    "system:node-proxier": (
        ("list watch", "", "endpoints services"),
        (_READ, "", "nodes"),
        *_EVENTS,
        ("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "system:kubelet-api-admin": (
        (_READ, "", "nodes"),
        ("proxy", "", "nodes"),
        ("*", "", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ),
    "system:node-bootstrapper": ((f"create {_READ}", "certificates.k8s.io", "certificatesigningrequests"),),
    "system:auth-delegator": _REVIEWS,
    "system:kube-aggregator": ((_READ, "", "endpoints services"),),
    "system:kube-controller-manager": _CONTROLLER_MANAGER,
    "system:kube-scheduler": _SCHEDULER,
    "system:kube-dns": (("list watch", "", "endpoints services"),),
    "system:persistent-volume-provisioner": (
        (f"create delete {_READ}", "", "persistentvolumes"),
        (f"{_READ} update", "", "persistentvolumeclaims"),
        (_READ, "storage.k8s.io", "storageclasses"),
        ("watch", "", "events"),
        *_EVENTS,
    ),
    "system:volume-scheduler": (
        (f"{_READ} patch update", "", "persistentvolumeclaims persistentvolumes"),
        (_READ, "storage.k8s.io", "storageclasses"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        ("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        ("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": _approver("kube-apiserver-client"),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": _approver("kube-apiserver-client-kubelet"),
    "system:certificates.k8s.io:kubelet-serving-approver": _approver("kubelet-serving"),
    "system:certificates.k8s.io:legacy-unknown-approver": _approver("legacy-unknown"),
}
_AGGREGATED = ("view", "edit", "admin")

# Cluster role -> who has it: groups, users, service accounts as NAMESPACE/NAME.
_CLUSTER_BINDINGS: dict[str, tuple[str, str, str]] = {
    "cluster-admin": ("system:masters", "", ""),
    "system:monitoring": ("system:monitoring", "", ""),
    "system:discovery": ("system:authenticated", "", ""),
    "system:basic-user": ("system:authenticated", "", ""),
    "system:public-info-viewer": ("system:authenticated system:unauthenticated", "", ""),
    "system:service-account-issuer-discovery": ("system:serviceaccounts", "", ""),
    "system:node": ("", "", ""),
    "system:node-proxier": ("", "system:kube-proxy", ""),
    "system:kube-controller-manager": ("", "system:kube-controller-manager", ""),
    "system:kube-scheduler": ("", "system:kube-scheduler", ""),
    "system:volume-scheduler": ("", "system:kube-scheduler", ""),
    "system:kube-dns": ("", "", "kube-system/kube-dns"),
}


def cluster_roles() -> Iterator[Json]:
    """ClusterRoles, those that gather others last."""
    for name, lines in _CLUSTER_ROLES.items():
        found = {"metadata": _metadata(name, _aggregated_to(name)), "rules": [_rule(line) for line in lines]}
        yield _document(clusterrole.KIND.kind, found)
    for index, name in enumerate(_AGGREGATED):
        # Each of them is part of the next.
        further = _aggregation(_AGGREGATED[index + 1]) if index + 1 < len(_AGGREGATED) else {}
        gathered = {"clusterRoleSelectors": [{"matchLabels": _aggregation(name)}]}
        yield _document(clusterrole.KIND.kind, {"metadata": _metadata(name, further), "aggregationRule": gathered})


def cluster_bindings() -> Iterator[Json]:
    """ClusterRoleBindings, each named after its role."""
    for name, (groups, users, accounts) in _CLUSTER_BINDINGS.items():
        ref = {"apiGroup": GROUP, "kind": clusterrole.KIND.kind, "name": name}
        subjects = _subjects(groups, users, accounts)
        made = {"metadata": _metadata(name), "roleRef": ref, "subjects": subjects}
        yield _document(clusterrolebinding.KIND.kind, made)


def namespaced() -> Iterator[Json]:
    """Roles and RoleBindings of kube-system."""
    reader = "extension-apiserver-authentication-reader"
    rule = _rule((_READ, "", "configmaps", "extension-apiserver-authentication"))
    yield _document(role.KIND.kind, {"metadata": _metadata(reader, where="kube-system"), "rules": [rule]})
    made = {
        "metadata": _metadata(f"system::{reader}", where="kube-system"),
        "roleRef": {"apiGroup": GROUP, "kind": role.KIND.kind, "name": reader},
        "subjects": _subjects("", "system:kube-controller-manager system:kube-scheduler", ""),
    }
    yield _document(rolebinding.KIND.kind, made)


def _document(kind: str, made: Json) -> Json:
    return {"apiVersion": role.KIND.api_version, "kind": kind, **made}


def _metadata(name: str, labels: Json | None = None, where: str = "") -> Json:
    return {
        "name": name,
        **({"namespace": where} if where else {}),
        "labels": {**_BOOTSTRAPPING, **(labels or {})},
        "annotations": {AUTO_UPDATE: "true"},
    }


def _aggregation(role: str) -> Json:
    return {f"{GROUP}/aggregate-to-{role}": "true"}


def _aggregated_to(name: str) -> Json:
    prefix = "system:aggregate-to-"
    return _aggregation(name.removeprefix(prefix)) if name.startswith(prefix) else {}


def _rule(line: _Line) -> Json:
    verbs, where, *rest = line
    if not rest:
        return {"verbs": verbs.split(), "nonResourceURLs": where.split()}
    found: Json = {"verbs": sorted(verbs.split()), "apiGroups": [where], "resources": rest[0].split()}
    return {**found, "resourceNames": rest[1].split()} if len(rest) > 1 else found


def _subjects(groups: str, users: str, accounts: str) -> list[Json]:
    return [*_named(GROUP_KIND, groups.split()), *_named(USER, users.split()), *map(_account, accounts.split())]


def _named(kind: str, names: Iterable[str]) -> Iterator[Json]:
    return ({"apiGroup": GROUP, "kind": kind, "name": name} for name in names)


def _account(text: str) -> Json:
    namespace, _, name = text.partition("/")
    return {"kind": ACCOUNT, "name": name, "namespace": namespace}
