"""A testbed as a whole: brought up, looked at, broken and mended, taken down.

What it is made of is written down before it is made, so that `down` finds everything also after a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from motet.base.errors import ApiError
from motet.client.remote import RemoteClient
from motet.identity import kubeconfig, tls
from motet.identity.authority import Certificate
from motet.identity.messages import NODE_GRACE
from motet.kinds import lease as lease_kind
from motet.kinds import node as node_kind
from motet.machine import lifecycle
from motet.machine.layout import Machine, Settings
from motet.runtime.cri import CriRuntime
from motet.runtime.interface import RuntimeFailure
from motet.testbed import plan as plans
from motet.testbed import switch as switches
from motet.testbed import worker
from motet.testbed.box import Box
from motet.testbed.plan import Member, Plan, TestbedError

Say = Callable[[str], None]

NODE_LEASES = "kube-node-lease"
_PORT = 6443
_READY_SECONDS = 120.0
_LOOK_EVERY = 0.1


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str
    message: str = ""


class _Status(msgspec.Struct, frozen=True):
    conditions: tuple[_Condition, ...] = ()


class _NodeView(msgspec.Struct, frozen=True):
    status: _Status = _Status()


class _LeaseSpec(msgspec.Struct, frozen=True, rename="camel"):
    renew_time: datetime | None = None


class _LeaseView(msgspec.Struct, frozen=True):
    spec: _LeaseSpec = _LeaseSpec()


class Testbed:
    """The testbed kept in `directory`."""

    __test__ = False

    def __init__(self, directory: Path, say: Say = lambda step: None) -> None:
        self.directory = directory
        self._say = say
        self._switch = switches.Switch(plans.tag(directory))

    @property
    def plan(self) -> Plan:
        """Raises TestbedError when there is no testbed."""
        plan = plans.load(self.directory)
        if plan is None:
            raise TestbedError(f"there is no testbed in {self.directory}; make one: motet testbed up")
        return plan

    def box(self, name: str) -> Box:
        """The machine of one node. Raises TestbedError for a name that is none."""
        return self._box(self.plan.member(name))

    def address(self, name: str) -> str:
        return str(self.plan.address(self.plan.member(name)))

    # -- up and down -----------------------------------------------------------------------------------------------

    async def up(
        self,
        nodes: int,
        managers: int = 1,
        node_grace: float = 0.0,
        *,
        legacy_tokens: bool = False,
        encrypted: bool = False,
        dual_stack: bool = False,
    ) -> None:
        """At least so many nodes, all of them ready. Turns on what is off. Raises TestbedError.

        For a cluster that is begun now: `node_grace` is the seconds a node may be silent, 0 for the usual; `legacy_tokens`
        gives every service account a Secret with a token; `encrypted` has nodes encrypt what they send to pods of others;
        `dual_stack` gives all of it IPv6 too.
        """
        with switches.turn():  # two testbeds that begin at once would take the same subnet
            plan = plans.load(self.directory)
            if plan is None:
                subnet = plans.free_subnet(switches.used_networks())
                plan = Plan(
                    str(subnet),
                    forwarding_before=switches.forwarding(),
                    node_grace=node_grace or NODE_GRACE,
                    legacy_tokens=legacy_tokens,
                    encrypted=encrypted,
                    dual_stack=dual_stack,
                )
            elif node_grace and node_grace != plan.node_grace:
                raise TestbedError(
                    f"this testbed was begun with --node-grace {plan.node_grace:g}; take it down for another"
                )
            elif legacy_tokens and not plan.legacy_tokens:
                raise TestbedError(
                    "this testbed was begun without --legacy-service-account-tokens; take it down for another"
                )
            elif encrypted and not plan.encrypted:
                raise TestbedError("this testbed was begun without --encrypt; take it down to begin an encrypted one")
            elif dual_stack and not plan.dual_stack:
                raise TestbedError("this testbed was begun without --dual-stack; take it down to begin one that has it")
            plan = plan.grown(nodes, managers)
            plans.save(self.directory, plan)
            self._say("plugging in the switch")
            self._switch.make(plan)
        self._switch.lose(plan.members)
        await asyncio.gather(*(self._start(plan, member) for member in plan.members if not self._works(member)))
        await self.until_ready([member.name for member in plan.members])

    async def down(self) -> bool:
        """Take everything away, whatever state it is in. Answers whether there was anything."""
        there = self.directory.exists()
        try:
            plan = plans.load(self.directory)
        except TestbedError:
            plan = None
        boxes = [Box(path) for path in sorted((self.directory / "nodes").glob("*")) if path.is_dir()]
        self._say("turning the nodes off")
        for box in boxes:
            box.power_off()
        await asyncio.gather(*(box.remove() for box in boxes))
        self._switch.remove(plan.forwarding_before if plan else "")
        if there:
            await asyncio.to_thread(shutil.rmtree, self.directory)
        return there

    async def start(self, name: str) -> None:
        """Turn a node on that is off, or start Motet again on one where it ended. Raises TestbedError."""
        plan = self.plan
        member = plan.member(name)
        if self._works(member):
            raise TestbedError(f"node {name} is on already")
        await self._start(plan, member)

    def kill(self, name: str) -> None:
        """Pull the plug of a node: every process of it ends at once."""
        box = self.box(name)
        if not box.pid:
            raise TestbedError(f"node {name} is off already")
        box.power_off()

    async def _start(self, plan: Plan, member: Member) -> None:
        box = self._box(member)
        self._say(f"starting {member.name}")
        if not box.pid:
            self._switch.plug(plan, member, await asyncio.to_thread(box.boot))
        machine = box.machine
        settings = machine.settings()
        if settings is None:
            address = str(plan.address(member))
            pods_six, services_six = plan.ranges_six
            settings = Settings(
                node_name=member.name,
                pods_six=pods_six,
                services_six=services_six,
                address=address,
                node_grace=plan.node_grace,
                legacy_tokens=plan.legacy_tokens,
                encrypted=plan.encrypted,
            )
            if not member.manager:
                settings = msgspec.structs.replace(settings, role="worker", servers=(self.url(plan),))
            machine.remember(settings)
        if not member.manager:
            await self._join(plan, machine, settings)
        command = (sys.executable, "-m", "motet", "daemon", "--data-dir", str(machine.data_dir))
        box.start(command, machine.logs / "daemon.log")

    async def _join(self, plan: Plan, machine: Machine, settings: Settings) -> None:
        manager = self._box(plan.manager).machine
        # The certificate is written after its key.
        await self._until((manager.pki / "admin.crt").exists, "the manager has no certificates yet")
        await worker.join(self.url(plan), manager, machine, settings)

    # -- faults ----------------------------------------------------------------------------------------------------

    def cut(self, name: str, *, cut: bool = True) -> None:
        """Pull a node's network cable, or put it back."""
        plan = self.plan
        member = msgspec.structs.replace(plan.member(name), cut=cut)
        plans.save(self.directory, plan.with_member(member))
        self._switch.link(member, up=not cut)

    def lose(self, name: str, percent: int) -> None:
        """Have a node lose this share of its packets in either direction; 0 ends it. Raises TestbedError."""
        if not 0 <= percent <= 100:
            raise TestbedError(f"a loss is between 0% and 100%, not {percent}%")
        plan = self.plan
        plan = plan.with_member(msgspec.structs.replace(plan.member(name), loss=percent))
        plans.save(self.directory, plan)
        self._switch.lose(plan.members)

    # -- looking ---------------------------------------------------------------------------------------------------

    def url(self, plan: Plan) -> str:
        return f"https://{plan.address(plan.manager)}:{_PORT}"

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[RemoteClient]:
        """The administrator's. Raises TestbedError while there are no certificates."""
        plan = self.plan
        pki = self._box(plan.manager).machine.pki
        try:
            context = tls.client_context(pki / "ca.crt", pki / "admin.crt", pki / "admin.key")
        except OSError as error:
            raise TestbedError("the manager has not started yet") from error
        async with RemoteClient(self.url(plan), context, user_agent="motet-testbed") as client:
            yield client

    def kubeconfig(self) -> bytes:
        """For use on this machine. Raises TestbedError."""
        plan = self.plan
        pki = self._box(plan.manager).machine.pki
        try:
            admin = Certificate((pki / "admin.crt").read_bytes(), (pki / "admin.key").read_bytes())
            return kubeconfig.render(self.url(plan), (pki / "ca.crt").read_bytes(), admin, cluster="motet-testbed")
        except OSError as error:
            raise TestbedError("the manager has not started yet") from error

    def docker_host(self, node: str = "") -> str:
        """What to set DOCKER_HOST to on this machine. Raises TestbedError for a node that does not manage."""
        plan = self.plan
        member = plan.member(node) if node else plan.manager
        if not member.manager:
            raise TestbedError(
                f"{member.name} is a worker: only managers serve the Docker API; ask {plan.manager.name}"
            )
        return f"unix://{self._box(member).machine.docker_socket}"

    async def states(self) -> dict[str, str]:
        """`Ready`, or why not, by node. Raises ApiError while the API does not answer."""
        async with self.client() as client:
            found = {document.name: document.view(_NodeView) for document in await client.list(node_kind.KIND)}
            leases = {each.name: each.view(_LeaseView) for each in await client.list(lease_kind.KIND, NODE_LEASES)}
        states = {}
        for member in self.plan.members:
            states[member.name] = _state(found.get(member.name))
            lease = leases.get(member.name)
            # What is said of a node that has just been turned on may be said of its life before.
            if lease is None or lease.spec.renew_time is None or lease.spec.renew_time < self._box(member).booted:
                states[member.name] = "has not been heard of since it was turned on"
        return states

    async def until_ready(self, names: Iterable[str], seconds: float = _READY_SECONDS) -> None:
        """Return when all of `names` take pods. Raises TestbedError saying which do not and why."""
        names = list(names)
        waiting: dict[str, str] = dict.fromkeys(names, "the API does not answer yet")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(ApiError, TestbedError):
                states = await self.states()
                waiting = {name: states[name] for name in names if states[name] != "Ready"}
                if not waiting:
                    return
            await asyncio.sleep(_LOOK_EVERY)
        told = "; ".join(f"{name}: {why}" for name, why in waiting.items())
        raise TestbedError(f"not ready after {seconds:.0f} s: {told}. Logs: {self.directory}/nodes/*/motet/logs")

    # -- using -----------------------------------------------------------------------------------------------------

    async def load_image(self, archive: Path) -> dict[str, list[str]]:
        """Put the images of a tar file into every node that is on; the names by node. Raises RuntimeFailure."""
        members = [member for member in self.plan.members if self._box(member).pid]
        loaded = await asyncio.gather(*(self._load(self._box(member), archive) for member in members))
        return {member.name: names for member, names in zip(members, loaded, strict=True)}

    async def _load(self, box: Box, archive: Path) -> list[str]:
        runtime = CriRuntime(box.machine.containerd_socket)
        try:
            return list(await runtime.import_image(str(archive)))
        except RuntimeFailure as error:
            raise TestbedError(f"{box.directory.name}: {error}") from error
        finally:
            await runtime.close()

    def run(self, name: str, command: Sequence[str]) -> int:
        """Run a command on a node, on this terminal; its exit code."""
        return self.box(name).run(command)

    def _works(self, member: Member) -> bool:
        """Whether the machine is on and something on it keeps Motet alive."""
        box = self._box(member)
        return bool(box.pid and lifecycle.running(box.machine))

    def _box(self, member: Member) -> Box:
        return Box(self.directory / "nodes" / member.name)

    async def _until(self, holds: Callable[[], bool], why: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise TestbedError(f"{why} after {_READY_SECONDS:.0f} s; logs: {self.directory}/nodes/*/motet/logs")
            await asyncio.sleep(_LOOK_EVERY)


def _state(node: _NodeView | None) -> str:
    if node is None:
        return "has not joined"
    ready = next((item for item in node.status.conditions if item.type == "Ready"), None)
    if ready is None or ready.status != "True":
        return f"NotReady: {ready.message}" if ready and ready.message else "NotReady"
    return "Ready"
