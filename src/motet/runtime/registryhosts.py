"""Where a registry is asked: what `certs.d/HOST/hosts.toml` says, as containerd reads it, and what holds without one.

Follows containerd's "Registry Configuration" (hosts.md): `server`, `[host."URL"]` with `capabilities`, `skip_verify` and `ca`.
"""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from motet.runtime.interface import RuntimeFailure

HUB = "docker.io"
_HUB_SERVER = "https://registry-1.docker.io"
_EVERYTHING = ("pull", "resolve", "push")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is up to and with `/v2`; `tls` what a server is believed by, None for HTTP."""

    url: str
    tls: ssl.SSLContext | None


def endpoints(directory: Path, host: str, capability: str) -> list[Endpoint]:
    """Whom to ask for images of `host`, in this order. `capability` is pull, resolve or push. Raises RuntimeFailure."""
    settings, folder = _settings(directory, host)
    found = []
    for url, entry in (settings.get("host") or {}).items():
        if capability in (entry.get("capabilities") or _EVERYTHING):
            found.append(_endpoint(url, entry, folder))
    return [*found, _endpoint(str(settings.get("server") or _server(host)), settings, folder, host)]


def _settings(directory: Path, host: str) -> tuple[Mapping[str, Any], Path]:
    for name in (host, host.replace(":", "_") + "_", "_default"):
        file = directory / name / "hosts.toml"
        try:
            return tomllib.loads(file.read_text()), file.parent
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise RuntimeFailure(f"{file}: {error}") from error
    return {}, directory


def _server(host: str) -> str:
    if host == HUB:
        return _HUB_SERVER
    return f"{'http' if _is_local(host) else 'https'}://{host}"


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name in ("localhost", "::1", "[::1]") or name.startswith("127.")


def _endpoint(url: str, entry: Mapping[str, Any], folder: Path, host: str = "") -> Endpoint:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    path = parts.path.rstrip("/")
    base = f"{parts.scheme}://{parts.netloc}{path}"
    if not entry.get("override_path") and not path.endswith("/v2"):
        base += "/v2"
    if parts.scheme == "http":
        return Endpoint(base, None)
    try:
        context = ssl.create_default_context()
        if entry.get("skip_verify") or (host and _is_local(host)):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        authorities = entry.get("ca") or ()
        for authority in [authorities] if isinstance(authorities, str) else authorities:
            context.load_verify_locations(folder / authority)
    except (OSError, ssl.SSLError) as error:
        raise RuntimeFailure(f"the certificates for {url} cannot be read: {error}") from error
    return Endpoint(base, context)
