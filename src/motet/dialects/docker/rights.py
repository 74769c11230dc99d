"""What whoever asks may do, where the kernel is to be asked before it is done (authorization.k8s.io, SelfSubjectAccessReview)."""

from __future__ import annotations

from typing import Any

import msgspec

from motet.dialects.docker.call import Call

_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def may(call: Call, verb: str, resource: str, *, subresource: str = "", namespace: str, name: str = "") -> bool:
    """Of the core group's resources. Raises ApiError."""
    asked = {"verb": verb, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    told = msgspec.json.decode(await call.client.request("POST", _ACCESS_REVIEWS, review), type=dict[str, Any])
    return bool(told["status"].get("allowed"))
