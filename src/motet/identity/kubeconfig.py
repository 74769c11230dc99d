"""The kubeconfig file that kubectl and every client library read."""

from __future__ import annotations

import base64

import yaml

from motet.identity.authority import Certificate


def render(server: str, ca: bytes, credentials: Certificate, *, user: str = "admin", cluster: str = "motet") -> bytes:
    """A kubeconfig with everything inside it. `server` is the API's URL; `ca` is PEM."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _base64(credentials.certificate),
                    "client-key-data": _base64(credentials.key),
                },
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user, "namespace": "default"}}],
        "current-context": cluster,
        "preferences": {},
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
