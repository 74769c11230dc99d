"""Who a request is from, as an extension server reads it from its front proxy (Kubernetes "Authenticating Proxy")."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote

from motet.api.http import proxying
from motet.api.http.proxying import Fields
from motet.api.users import AUTHENTICATED, MASTERS, User
from motet.base.errors import BadRequest
from motet.kinds.kind import Json

# The common name in the front proxy's certificate.
PROXY_USER = "front-proxy-client"
# Who asks for discovery, OpenAPI and signs of life.
AGGREGATOR = User("system:kube-aggregator", (MASTERS, AUTHENTICATED))
_USER, _UID, _GROUP, _EXTRA = "X-Remote-User", "X-Remote-Uid", "X-Remote-Group", "X-Remote-Extra-"
# What may stand in a header's name (RFC 9110, 5.6.2), the percent sign aside.
_NAME_CHARACTERS = "!#$&'*+-.^_`|~"


def told(user: User) -> Fields:
    """The headers that name a user. Raises BadRequest for one who cannot be named in them."""
    fields = [(_USER, user.name)]
    if user.uid:
        fields.append((_UID, user.uid))
    fields += [(_GROUP, group) for group in user.groups]
    for key, values in user.extra.items():
        fields += [(_EXTRA + quote(key, safe=_NAME_CHARACTERS), value) for value in values]
    for name, value in fields:
        if any(ord(char) < 32 or ord(char) == 127 for char in value):
            raise BadRequest(f"who asks cannot be told to another server: {name} has control characters")
    return fields


def request_fields(fields: Iterable[tuple[str, str]], user: User, client: str) -> Fields:
    """The headers of a request at the extension server: the client's own, but for who it says it is; and who it is."""
    sent = [(name, value) for name, value in proxying.travelling(fields) if name.lower() != "host"]
    before = [value for name, value in sent if name.lower() == "x-forwarded-for"]
    sent = [pair for pair in sent if pair[0].lower() != "x-forwarded-for"]
    return [*sent, ("X-Forwarded-For", ", ".join([*before, client])), *told(user)]


def configuration(client_ca: str, proxy_ca: str) -> Json:
    """The ConfigMap by which extension servers know whom to believe. Both are PEM."""
    return {
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": client_ca,
            "requestheader-allowed-names": json.dumps([PROXY_USER]),
            "requestheader-client-ca-file": proxy_ca,
            "requestheader-extra-headers-prefix": json.dumps([_EXTRA]),
            "requestheader-group-headers": json.dumps([_GROUP]),
            "requestheader-uid-headers": json.dumps([_UID]),
            "requestheader-username-headers": json.dumps([_USER]),
        },
    }
