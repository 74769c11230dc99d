"""containerd's native messages, the few fields Motet uses of them.

CRI has no image import, no second name for an image, no way to read one, and (before containerd 1.7) no event stream, so
those go through containerd's own gRPC services. Rather than ship generated code, the messages are declared here as one
table of field numbers, which are facts of the wire (containerd's public API, packages `containerd.services.*.v1` and
`containerd.events`), and built into protobuf classes when the module is imported. Fields that are not listed are skipped
while parsing.
"""

from __future__ import annotations

from typing import Any

from motet.runtime import messages

# CRI keeps everything it owns in this containerd namespace.
NAMESPACE = "k8s.io"
METADATA = (("containerd-namespace", NAMESPACE),)

_MESSAGES: messages.Tables = {
    "Empty": {},
    "Timestamp": {"seconds": (1, "int64"), "nanos": (2, "int32")},
    "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
    "FieldMask": {"paths": (1, "*string")},
    # services.events.v1
    "SubscribeRequest": {"filters": (1, "*string")},
    "Envelope": {
        "timestamp": (1, "Timestamp"),
        "namespace": (2, "string"),
        "topic": (3, "string"),
        "event": (4, "Any"),
    },
    "ForwardRequest": {"envelope": (1, "Envelope")},
    # events
    "TaskStart": {"container_id": (1, "string"), "pid": (2, "uint32")},
    "TaskExit": {
        "container_id": (1, "string"),
        "id": (2, "string"),
        "pid": (3, "uint32"),
        "exit_status": (4, "uint32"),
        "exited_at": (5, "Timestamp"),
    },
    "TaskOOM": {"container_id": (1, "string")},
    "ContainerDelete": {"id": (1, "string")},
    # services.content.v1
    "WriteContentRequest": {
        "action": (1, "int32"),
        "ref": (2, "string"),
        "total": (3, "int64"),
        "expected": (4, "string"),
        "offset": (5, "int64"),
        "data": (6, "bytes"),
        "labels": (7, "map"),
    },
    "WriteContentResponse": {
        "action": (1, "int32"),
        "offset": (4, "int64"),
        "total": (5, "int64"),
        "digest": (6, "string"),
    },
    "AbortRequest": {"ref": (1, "string")},
    "ContentInfo": {"digest": (1, "string"), "size": (2, "int64"), "labels": (5, "map")},
    "ReadContentRequest": {"digest": (1, "string"), "offset": (2, "int64"), "size": (3, "int64")},
    "ReadContentResponse": {"offset": (1, "int64"), "data": (2, "bytes")},
    "ListStatusesRequest": {"filters": (1, "*string")},
    "ContentStatus": {"ref": (3, "string"), "offset": (4, "int64"), "total": (5, "int64")},
    "ListStatusesResponse": {"statuses": (1, "*ContentStatus")},
    "UpdateContentRequest": {"info": (1, "ContentInfo"), "update_mask": (2, "FieldMask")},
    "UpdateContentResponse": {"info": (1, "ContentInfo")},
    # services.images.v1
    "Descriptor": {"media_type": (1, "string"), "digest": (2, "string"), "size": (3, "int64")},
    "Image": {
        "name": (1, "string"),
        "labels": (2, "map"),
        "target": (3, "Descriptor"),
        "created_at": (7, "Timestamp"),
        "updated_at": (8, "Timestamp"),
    },
    "ListImagesRequest": {"filters": (1, "*string")},
    "ListImagesResponse": {"images": (1, "*Image")},
    "DeleteImageRequest": {"name": (1, "string"), "sync": (2, "bool")},
    "GetImageRequest": {"name": (1, "string")},
    "ImageAnswer": {"image": (1, "Image")},
    "CreateImageRequest": {"image": (1, "Image")},
    "UpdateImageRequest": {"image": (1, "Image"), "update_mask": (2, "FieldMask")},
    # services.leases.v1
    "CreateLeaseRequest": {"id": (1, "string"), "labels": (3, "map")},
    "DeleteLeaseRequest": {"id": (1, "string"), "sync": (2, "bool")},
    # services.version.v1
    "VersionResponse": {"version": (1, "string"), "revision": (2, "string")},
}

MESSAGE: dict[str, Any] = messages.build("motet.containerd", _MESSAGES)

# WriteContentRequest.action
STAT, WRITE, COMMIT = 0, 1, 2

# method -> (request, response)
_METHODS = {
    "containerd.services.events.v1.Events/Subscribe": ("SubscribeRequest", "Envelope"),
    "containerd.services.events.v1.Events/Forward": ("ForwardRequest", "Empty"),
    "containerd.services.content.v1.Content/Write": ("WriteContentRequest", "WriteContentResponse"),
    "containerd.services.content.v1.Content/Update": ("UpdateContentRequest", "UpdateContentResponse"),
    "containerd.services.content.v1.Content/Abort": ("AbortRequest", "Empty"),
    "containerd.services.content.v1.Content/Read": ("ReadContentRequest", "ReadContentResponse"),
    "containerd.services.content.v1.Content/ListStatuses": ("ListStatusesRequest", "ListStatusesResponse"),
    "containerd.services.images.v1.Images/List": ("ListImagesRequest", "ListImagesResponse"),
    "containerd.services.images.v1.Images/Delete": ("DeleteImageRequest", "Empty"),
    "containerd.services.images.v1.Images/Get": ("GetImageRequest", "ImageAnswer"),
    "containerd.services.images.v1.Images/Create": ("CreateImageRequest", "ImageAnswer"),
    "containerd.services.images.v1.Images/Update": ("UpdateImageRequest", "ImageAnswer"),
    "containerd.services.leases.v1.Leases/Create": ("CreateLeaseRequest", "Empty"),
    "containerd.services.leases.v1.Leases/Delete": ("DeleteLeaseRequest", "Empty"),
    "containerd.services.version.v1.Version/Version": ("Empty", "VersionResponse"),
}


def _codec(method: str) -> dict[str, Any]:
    return messages.codec(MESSAGE, _METHODS[method])


def unary(channel: Any, method: str) -> Any:
    """A callable for one request and one answer; `method` as in `package.Service/Method`."""
    return channel.unary_unary(f"/{method}", **_codec(method))


def server_stream(channel: Any, method: str) -> Any:
    return channel.unary_stream(f"/{method}", **_codec(method))


def both_streams(channel: Any, method: str) -> Any:
    return channel.stream_stream(f"/{method}", **_codec(method))
