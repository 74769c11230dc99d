"""The manager's word for what an App says about itself.

Whoever may change an App may write any annotation. What the manager is later to do on its own, with rights that they need not
have, is believed only with a seal: it is made when somebody asks for it who has these rights.
"""

from __future__ import annotations

import hashlib
import hmac

from motet.dialects.docker import rights, servicespec
from motet.dialects.docker.call import Call
from motet.store.document import Document

# On an App: that its ServiceSpec before the last change is the manager's own writing.
SEAL = "docker.motet.dev/previous-seal"
_WRITING = ("create", "update", "delete")


def of(key: bytes, uid: str, previous: str) -> str:
    """64 hexadecimal digits (HMAC, RFC 2104) for the ServiceSpec before the last change of one App."""
    return hmac.new(key, f"{uid}\0{previous}".encode(), hashlib.sha256).hexdigest()


def holds(key: bytes, app: Document) -> bool:
    annotations = app.meta.annotations or {}
    expected = of(key, app.meta.uid, annotations.get(servicespec.PREVIOUS, ""))
    # As bytes: what others have written may be any text.
    return hmac.compare_digest(expected.encode(), annotations.get(SEAL, "").encode())


async def may_be_put_back(call: Call, namespace: str) -> bool:
    """Whether whoever asks might do all that is done when a service goes back by itself. Raises ApiError."""
    for verb in _WRITING:
        if not await rights.may(call, verb, "services", namespace=namespace):
            return False
    return True
