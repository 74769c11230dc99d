"""The words of a pod's life on its node: what is observed, what is remembered, and the steps that may come next.

Everything here is a value. `decide` reads `Observed` and `Records` and answers one `Decision`; `execute` acts on it.
What must survive a restart of the agent is in the runtime (labels and annotations of sandboxes and containers) or in the
API; `Records` holds only what may be lost.
Instants are seconds since the epoch (float).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from motet.pods.spec import ResourceList
from motet.runtime.interface import Container, ContainerState, Resources, Sandbox

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
GRACE = "io.kubernetes.pod.terminationGracePeriod"
# Which node made a sandbox: a runtime may be shared, and another's pods are not ours to remove.
NODE = "motet.dev/node"
# What a sandbox has beside its pod's own labels.
OWN_LABELS = frozenset({POD_NAME, POD_NAMESPACE, POD_UID, NODE})
RESTART_COUNT = "io.kubernetes.container.restartCount"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
# Where on the host the termination message is written, and how long to hold back the restart after this container.
MESSAGE_FILE = "motet.dev/termination-message-file"
# The image a container was made of, as its pod names it: a pod that names another wants another container.
IMAGE = "motet.dev/image"
BACKOFF = "motet.dev/restart-backoff-seconds"

NANOSECONDS = 1_000_000_000


def seconds(nanoseconds: int) -> float:
    return nanoseconds / NANOSECONDS


@dataclass(frozen=True, slots=True)
class Observed:
    """What the runtime has of one pod. Exited and running containers carry their times and exit codes."""

    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest sandbox, ready or not."""
        return max(self.sandboxes, key=lambda sandbox: (sandbox.attempt, sandbox.created_at), default=None)

    def attempts(self, name: str) -> list[Container]:
        """Every container made for `name`, newest first."""
        made = [container for container in self.containers if container.name == name]
        return sorted(made, key=lambda container: (container.attempt, container.created_at), reverse=True)

    def latest(self, name: str) -> Container | None:
        return next(iter(self.attempts(name)), None)

    @property
    def running(self) -> tuple[Container, ...]:
        return tuple(container for container in self.containers if container.state is ContainerState.RUNNING)


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that did not work: what to say, and when to try again. `subject` is volumes, sandbox or a container's name."""

    reason: str
    message: str
    at: float
    delay: float

    @property
    def retry_at(self) -> float:
        return self.at + self.delay


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes say of one container. `failed` is why it must be killed."""

    started: bool = False
    ready: bool = False
    failed: str = ""
    grace: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Why a wish for other resources is not granted: Deferred (not now) or Infeasible (never on this node)."""

    reason: str
    message: str


VOLUMES = "/volumes"
SANDBOX = "/sandbox"
RESIZE = "/resize"


@dataclass(frozen=True, slots=True)
class Records:
    """What this agent remembers of one pod since it began looking after it. Losing it costs only time."""

    # Directories, cgroup and volumes are there.
    prepared: bool = False
    # Volumes and cgroup are taken away; the pod's directories and logs too.
    cleaned: bool = False
    removed: bool = False
    unsupported: str = ""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    # Container name -> (attempt it was made ready for, image reference): the image is on the node.
    images: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    # By container id.
    health: Mapping[str, Health] = field(default_factory=dict)
    # By container id: its termination message, read once when it ended.
    messages: Mapping[str, str] = field(default_factory=dict)
    # Sandboxes this agent has stopped: their addresses are given back.
    stopped: frozenset[str] = frozenset()
    # The node does not take the pod, or has ended it, giving it so many seconds.
    rejected: Final | None = None
    evicted: Final | None = None
    eviction_grace: int = 0
    # By container id: its limits. By name: its resources as the API says them, when it was last seen to have them in full.
    has: Mapping[str, Resources] = field(default_factory=dict)
    applied: Mapping[str, ResourceList] = field(default_factory=dict)
    # Other resources are asked for and not granted.
    pending: Pending | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """A pod's end."""

    phase: str
    reason: str = ""
    message: str = ""


class Step:
    """One thing to do for a pod."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Prepare(Step):
    """Make the pod's directories, cgroup and volumes."""


@dataclass(frozen=True, slots=True)
class CreateSandbox(Step):
    attempt: int


@dataclass(frozen=True, slots=True)
class EnsureImage(Step):
    """Have the image of this container on the node, as its pull policy wants."""

    container: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CreateContainer(Step):
    """`backoff` is how long a restart after this container will be held back, in seconds."""

    container: str
    attempt: int
    backoff: int
    sandbox_id: str
    image: str


@dataclass(frozen=True, slots=True)
class StartContainer(Step):
    container: str
    container_id: str


@dataclass(frozen=True, slots=True)
class ResizeContainer(Step):
    """Let a running container have other resources than it has."""

    container: str
    container_id: str
    resources: Resources


@dataclass(frozen=True, slots=True)
class Kill:
    container: str
    container_id: str


@dataclass(frozen=True, slots=True)
class StopContainers(Step):
    """Stop these side by side: preStop, then the stop signal, then after `grace` seconds SIGKILL."""

    kills: tuple[Kill, ...]
    grace: int
    message: str
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class RemoveContainer(Step):
    container_id: str


@dataclass(frozen=True, slots=True)
class StopSandbox(Step):
    sandbox_id: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox(Step):
    """Remove it with every container that is still in it."""

    sandbox_id: str


@dataclass(frozen=True, slots=True)
class Cleanup(Step):
    """Take volumes and cgroup away; with `everything` also directories and logs."""

    everything: bool


@dataclass(frozen=True, slots=True)
class FinishDeletion(Step):
    """Nothing of the pod is left here: tell the API so."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next step, or none; then `wake_at` is when time alone may change that (None: never)."""

    step: Step | None = None
    wake_at: float | None = None
