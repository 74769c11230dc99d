"""What every node may know of every pod: its labels and networks, where it runs, its address and its ports, and nothing else.

Policies name pods by their labels wherever they run, so each node has to know the addresses of all of them; what is in
their environment, their volumes and their commands is nobody's business but their own node's. A PodAddress is the stored
pod, shown without the rest.
"""

from __future__ import annotations

from motet.base.errors import Forbidden
from motet.kinds import attachments, pod
from motet.kinds.columns import AGE, NAME, NONE, column, text_at
from motet.kinds.kind import Json, Kind, Projection
from motet.kinds.schema import table
from motet.kinds.shape import mapping, objects

_METADATA = ("name", "namespace", "uid", "labels", "creationTimestamp", "deletionTimestamp", "resourceVersion")

table.register("""
dev.motet.v1.PodAddress <motet.dev/v1/PodAddress> apiVersion:string kind:string metadata:meta.ObjectMeta=1
  spec:PodAddressSpec=2 status:PodAddressStatus=3
dev.motet.v1.PodAddressSpec nodeName:string=1 hostNetwork:bool=2 containers:[]PodAddressContainer=3
  initContainers:[]PodAddressContainer=4
dev.motet.v1.PodAddressContainer name:string=1 ports:[]core.ContainerPort=2 restartPolicy:string=3
dev.motet.v1.PodAddressStatus phase:string=1 podIP:string=2 podIPs:[]core.PodIP=3
""")


def read(document: Json) -> None:
    """Stored -> shown."""
    spec, status = mapping(document, "spec"), mapping(document, "status")
    metadata = mapping(document, "metadata")
    networks = _part(mapping(metadata, "annotations"), attachments.ANNOTATION)
    shown: Json = {
        "apiVersion": "motet.dev/v1",
        "kind": "PodAddress",
        "metadata": {**_part(metadata, *_METADATA), **({"annotations": networks} if networks else {})},
        "spec": {
            **_part(spec, "nodeName", "hostNetwork"),
            **{
                kind: [_part(container, "name", "ports", "restartPolicy") for container in objects(spec, kind)]
                for kind in ("containers", "initContainers")
                if objects(spec, kind)
            },
        },
        "status": _part(status, "phase", "podIP", "podIPs"),
    }
    document.clear()
    document.update(shown)


def write(document: Json) -> None:
    """Nothing is ever sent: there are no verbs that write. Raises Forbidden."""
    raise Forbidden("pod addresses are read only; they follow the pods")


def _part(whole: Json, *keys: str) -> Json:
    return {key: whole[key] for key in keys if whole.get(key) is not None}


KIND = Kind(
    group="motet.dev",
    version="v1",
    kind="PodAddress",
    plural="podaddresses",
    singular="podaddress",
    schema="dev.motet.v1.PodAddress",
    verbs=("get", "list", "watch"),
    field_names=("spec.nodeName", "status.phase", "status.podIP"),
    columns=(
        NAME,
        column("Address", text_at("status", "podIP", otherwise=NONE), about="Where it is reached."),
        column("Node", text_at("spec", "nodeName", otherwise=NONE), about="Where it runs."),
        AGE,
    ),
    projection=Projection(of=pod.KIND, read=read, write=write),
)
