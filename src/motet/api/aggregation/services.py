"""Which APIServices name another server, read off the live table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from motet.api.aggregation.local import GroupVersion, Priorities
from motet.api.webhooks.resolver import SERVICE_SUFFIX
from motet.base.errors import Unavailable
from motet.kinds.apiservice import AVAILABLE, DEFAULT_PORT
from motet.store.document import Document
from motet.store.table import Table


class _Reference(msgspec.Struct, gc=False, frozen=True):
    namespace: str = ""
    name: str = ""
    port: int = DEFAULT_PORT


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    service: _Reference | None = None
    group: str = ""
    version: str = ""
    ca_bundle: str = ""
    insecure: bool = msgspec.field(default=False, name="insecureSkipTLSVerify")
    group_priority_minimum: int = 0
    version_priority: int = 0


class _Condition(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    status: str = ""
    message: str = ""


class _Status(msgspec.Struct, gc=False, frozen=True):
    conditions: tuple[_Condition, ...] | None = None


class _View(msgspec.Struct, gc=False, frozen=True):
    spec: _Spec = _Spec()
    status: _Status = _Status()


class Unreachable(Unavailable):
    """503 for a server that does not answer; `why` alone is for its APIService's condition."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Remote:
    """A group and version that a Service of the cluster answers for. `ca` is base64 of PEM, empty for the machine's own roots."""

    group: str
    version: str
    namespace: str
    service: str
    port: int
    ca: str
    insecure: bool
    # Whether it answered when last looked at, and what was wrong else.
    available: bool = False
    why: str = ""

    @property
    def name(self) -> str:
        """Of its APIService."""
        return f"{self.version}.{self.group}"

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}"

    @property
    def host(self) -> str:
        """What its certificate has to be good for."""
        return f"{self.service}.{self.namespace}{SERVICE_SUFFIX}"

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def unavailable(self, why: str) -> Unreachable:
        """503 that names the APIService and its Service."""
        return Unreachable(
            f"the server behind {self.path} (APIService {self.name}, service {self.namespace}/{self.service}) "
            f"is not available: {why}",
            why,
        )


def remote_of(document: Document) -> Remote | None:
    """The server an APIService names; None for this one."""
    view = document.view(_View)
    spec, service = view.spec, view.spec.service
    if service is None:
        return None
    told = next((each for each in view.status.conditions or () if each.type == AVAILABLE), _Condition())
    return Remote(
        spec.group,
        spec.version,
        service.namespace,
        service.name,
        service.port,
        spec.ca_bundle,
        spec.insecure,
        told.status == "True",
        told.message or "it has not been looked at yet",
    )


class Services:
    """All of them. `generation` counts their changes."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._current = False
        self._remotes: dict[GroupVersion, Remote] = {}
        self._priorities: dict[GroupVersion, Priorities] = {}
        self.generation = 0
        table.listen(self._note)

    def _note(self, old: Document | None, new: Document | None) -> None:
        self._current = False
        self.generation += 1

    def remotes(self) -> Mapping[GroupVersion, Remote]:
        self._look()
        return self._remotes

    def priorities(self) -> Mapping[GroupVersion, Priorities]:
        """What every APIService says of its group and version."""
        self._look()
        return self._priorities

    def _look(self) -> None:
        if self._current:
            return
        self._remotes, self._priorities = {}, {}
        for document in self._table:
            spec = document.view(_View).spec
            self._priorities[spec.group, spec.version] = spec.group_priority_minimum, spec.version_priority
            if (found := remote_of(document)) is not None:
                self._remotes[found.group, found.version] = found
        self._current = True
