"""The rest of a rollback that nobody asked for: Swarm puts all of a service back, its labels, ports and number of tasks, too.

An update that fails goes back by its App's controller, which knows of the pods alone. What else the update had changed
is in the ServiceSpec before it, which stays with the App until all of that is as it says.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from motet.base.clock import Clock
from motet.base.errors import ApiError, Conflict
from motet.client.interface import Client
from motet.controllers.appversion import version_of
from motet.controllers.loop import Controller, ObjectKey, TryAgain, own_key
from motet.dialects.docker import endpoints, entrances, seals, servicerequest, services, servicespec
from motet.dialects.docker.call import Engine
from motet.dialects.docker.errors import DockerError
from motet.kinds import app as app_kind
from motet.store.document import Document
from motet.store.table import Table

_log = logging.getLogger("motet.docker.rollbacks")


@dataclass(frozen=True, slots=True)
class _Loop:
    """Acts for the manager."""

    client: Client
    engine: Engine


def unfinished(app: Document, key: bytes) -> bool:
    """Its controller has gone back to an earlier version, and the ServiceSpec of then waits to be put back.

    Without a seal of `key` that is not believed: it may be anybody's word who may change Apps, and the manager would act on it.
    Who goes back on purpose (`docker service rollback`, `motet rollout undo`) says what of.
    """
    annotations = app.meta.annotations or {}
    return (
        app.meta.deletion_timestamp is None
        and servicespec.PREVIOUS in annotations
        and seals.holds(key, app)
        and app_kind.ROLLBACK in annotations
        and annotations.get(app_kind.ROLLBACK_REASON, "").startswith(app_kind.BY_ITSELF)
        and annotations[app_kind.ROLLBACK] == version_of(app.decode()["spec"])
    )


class Rollbacks:
    """The loop over Apps that docker made."""

    def __init__(self, client: Client, engine: Engine, clock: Clock) -> None:
        self._voice = _Loop(client, engine)
        self._clock = clock
        self._apps: Table

    async def run(self) -> None:
        """Finish every rollback until cancelled."""
        self._apps = await self._voice.client.table(app_kind.KIND)
        loop: Controller[ObjectKey] = Controller("docker-rollback", self.reconcile, clock=self._clock)
        loop.watch(self._apps, own_key)
        await loop.run()

    async def reconcile(self, key: ObjectKey) -> None:
        """One look at one App. Its Services go first, so that whoever is stopped in between finds it still to be done."""
        namespace, name = key
        app = self._apps.get(name, namespace)
        if (
            app is None
            or namespace != self._voice.engine.namespace
            or not unfinished(app, self._voice.engine.seal_key())
        ):
            return
        try:
            before, ports, around, task = await servicerequest.read(self._voice, servicespec.previous_of(app))
            await servicerequest.check_ports(self._voice, name, ports)
            await entrances.settle(self._voice, app, endpoints.services(before, task, ports, around))
            await self._voice.client.update(app_kind.KIND, services.gone_back(app, before))
        except Conflict as error:
            raise TryAgain("the service changes meanwhile") from error
        except DockerError as error:
            # A network is gone, or somebody else has the port by now.
            _log.warning("service %s cannot be put back as it was before its update: %s", name, error.message)
            raise TryAgain(error.message) from error
        except ApiError as error:
            raise TryAgain(error.message) from error
