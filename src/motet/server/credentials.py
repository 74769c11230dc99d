"""The manager's own certificates: made on first start, renewed before they run out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from motet.api.aggregation.identity import PROXY_USER
from motet.base.files import write_atomically
from motet.identity import kubeconfig, rotation
from motet.identity.authority import (
    ADMIN_GROUP,
    Authority,
    Certificate,
    PrivateKey,
    covers,
    key_for_any_client,
)
from motet.server.config import ServerConfig

# The API server's name when it calls an agent.
API_USER = "system:motet:api"
# People copy the administrator's kubeconfig away, where nobody renews it.
ADMIN_LIFETIME = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Paths of PEM files."""

    ca: Path
    server: tuple[Path, Path]
    # Shown to agents.
    api: tuple[Path, Path]
    # Shown to extension servers, which take its word on who asks; and the root of it, which signs nothing else.
    front_proxy: tuple[Path, Path]
    front_proxy_ca: Path

    def roots(self) -> tuple[str, str]:
        """Of clients, and of the front proxy, as PEM. Raises OSError."""
        return self.ca.read_text(), self.front_proxy_ca.read_text()


def prepare(config: ServerConfig, now: datetime) -> Credentials:
    """Make or renew whatever is missing or old, and write the administrator's kubeconfig. Raises IdentityError, OSError."""
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = Authority.load_or_create(config.pki)
    life = config.certificate_lifetime
    server = _keep(authority, config.pki, "server", "motet-server", (), config.subject_names, now, life)
    api = _keep(authority, config.pki, "api", API_USER, (ADMIN_GROUP,), (), now, life)
    admin = _keep(
        authority, config.pki, "admin", "admin", (ADMIN_GROUP,), (), now, ADMIN_LIFETIME, make_key=key_for_any_client
    )
    proxies = config.pki / rotation.FRONT_PROXY
    proxy_authority = Authority.load_or_create(proxies, cluster=rotation.FRONT_PROXY_NAME)
    proxy = _keep(proxy_authority, proxies, "client", PROXY_USER, (), (), now, life)
    pair = Certificate(admin[0].read_bytes(), admin[1].read_bytes())
    content = kubeconfig.render(config.url, authority.bundle, pair)
    if not config.kubeconfig.exists() or config.kubeconfig.read_bytes() != content:
        write_atomically(config.kubeconfig, content)
    return Credentials(_trusted(config.pki, authority), server, api, proxy, _trusted(proxies, proxy_authority))


def _trusted(directory: Path, authority: Authority) -> Path:
    """The file of all roots that are trusted now."""
    trusted = directory / "trusted.crt"
    if not trusted.exists() or trusted.read_bytes() != authority.bundle:
        write_atomically(trusted, authority.bundle, mode=0o644)
    return trusted


def _keep(
    authority: Authority,
    directory: Path,
    name: str,
    user: str,
    groups: tuple[str, ...],
    sans: tuple[str, ...],
    now: datetime,
    lifetime: timedelta,
    make_key: Callable[[], PrivateKey] | None = None,
) -> tuple[Path, Path]:
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    if certificate.exists() and key.exists() and covers(certificate.read_bytes(), sans, by=authority, at=now):
        return certificate, key
    pair = authority.issue(user, groups, sans=sans, lifetime=lifetime, key=make_key() if make_key else None)
    return pair.write(directory, name)
