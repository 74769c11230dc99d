"""Laws of Apps, in a cluster of a list: from anywhere, with writes lost after any prefix, and pods that do what they like."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.app_scenes import an_app, task
from tests.controllers.builders import NOW, view

from motet.base import timestamps
from motet.controllers import approllout
from motet.controllers.appdepends import Gate
from motet.controllers.apprestarts import attempt_of
from motet.controllers.apps import Plan, Scene, Want, decide, limits
from motet.controllers.apptasks import is_active, is_over, slot_of, version_of
from motet.controllers.appview import AppView, TaskPod
from motet.controllers.podview import is_ready
from motet.kinds import app as app_kind
from motet.kinds import tasks

_names = itertools.count()
GOOD, BAD = "good", "bad"


@dataclass
class Sim:
    """Slots, pods and a clock. Pods of version `bad` end a second after they have started."""

    count: int
    spec: dict[str, Any]
    version: str
    pods: list[TaskPod] = field(default_factory=list)
    now: float = 0.0
    status: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    before: str = ""
    rollbacks: int = 0
    started: list[tuple[str, float]] = field(default_factory=list)
    gate: Gate = Gate()

    @property
    def app(self) -> AppView:
        return an_app(
            {"replicated": {"replicas": self.count}}, status=self.status, annotations=self.annotations, **self.spec
        )

    def stamp(self, seconds: float = 0.0) -> str:
        return timestamps.format_time(NOW + timedelta(seconds=self.now + seconds))

    def decide(self) -> Plan:
        slots = {str(number): Want.RUN for number in range(1, self.count + 1)}
        other = bool(self.before)
        at = NOW + timedelta(seconds=self.now)
        pods = tuple(self.pods)
        return decide(Scene(self.app, self.version, slots, pods, at, previous=other, changed=other, gate=self.gate))

    def step(self, cut: int = 10_000) -> Plan:
        """Decide, and write until the crash after `cut` writes: first the record, then as the loop does."""
        plan = self.decide()
        writes: list[Any] = []
        if plan.roll_back:
            writes.append(self.roll_back)
        else:
            writes.append(lambda: self.record(plan))
            writes += [lambda pod=pod: self.remove(pod, kept=True) for pod in plan.stop]
            writes += [lambda pod=pod: self.drop(pod) for pod in plan.forget]
            writes += [lambda pod=pod: self.remove(pod, kept=False) for pod in plan.delete]
            writes += [lambda new=new: self.start(new.slot, new.attempt.annotations()) for new in plan.create]
        for write in writes[:cut]:
            write()
        return plan

    def record(self, plan: Plan) -> None:
        self.status = {} if plan.record is None else {"update": msgspec.to_builtins(plan.record)}

    def roll_back(self) -> None:
        self.rollbacks += 1
        self.version, self.before = self.before, self.version
        self.annotations = {app_kind.ROLLBACK: self.version}

    def update(self, version: str) -> None:
        self.before, self.version = self.version, version

    def drop(self, pod: TaskPod) -> None:
        self.pods = [each for each in self.pods if each.metadata.uid != pod.metadata.uid]

    def change(self, pod: TaskPod, **parts: dict[str, Any]) -> None:
        body = msgspec.to_builtins(pod)
        for part, values in parts.items():
            body[part] = {**body[part], **values}
        self.pods = [view(TaskPod, body) if each.metadata.uid == pod.metadata.uid else each for each in self.pods]

    def remove(self, pod: TaskPod, *, kept: bool) -> None:
        marks: dict[str, Any] = {"deletionTimestamp": self.stamp(), "deletionGracePeriodSeconds": 10}
        if kept:
            marks["annotations"] = {**(pod.metadata.annotations or {}), tasks.DESIRED: tasks.SHUTDOWN}
            marks["finalizers"] = [tasks.FINALIZER]
        self.change(pod, metadata=marks)

    def start(self, slot: str, marks: dict[str, str]) -> None:
        body = msgspec.to_builtins(task(slot, self.version, phase="Pending", ready=None))
        body["metadata"] |= {"annotations": marks, "creationTimestamp": self.stamp(), "uid": f"n{next(_names):06}"}
        body["status"]["conditions"][0]["lastTransitionTime"] = self.stamp()
        self.started.append((slot, self.now))
        self.pods.append(view(TaskPod, body))

    def advance(self, seconds: float = 1.0) -> None:
        """The nodes do their part: what was started is ready, what is bad ends, what is to stop has stopped."""
        self.now += seconds
        for pod in self.pods:
            if is_over(pod):
                continue
            if pod.metadata.deletion_timestamp is not None:
                if tasks.FINALIZER in (pod.metadata.finalizers or ()):
                    self.end(pod, 143)
                else:
                    self.drop(pod)
            elif pod.status.phase == "Pending" or not is_ready(pod):
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": self.stamp()}
                self.change(pod, status={"phase": "Running", "conditions": [ready]})
            elif version_of(pod) == BAD:
                self.end(pod, 1)

    def end(self, pod: TaskPod, code: int) -> None:
        over = {"exitCode": code, "startedAt": self.stamp(-1), "finishedAt": self.stamp()}
        container = {"restartCount": 0, "state": {"terminated": over}}
        ready = {"type": "Ready", "status": "False", "lastTransitionTime": self.stamp()}
        status = {"phase": "Failed" if code else "Succeeded", "conditions": [ready], "containerStatuses": [container]}
        self.change(pod, status=status)

    def active(self) -> list[TaskPod]:
        return [pod for pod in self.pods if is_active(pod)]

    def ready(self) -> int:
        wanted = {str(number) for number in range(1, self.count + 1)}
        return len({slot_of(pod) for pod in self.active() if is_ready(pod)} & wanted)

    def history(self) -> int:
        """The most ended pods in one slot."""
        ended = [slot_of(pod) for pod in self.pods if is_over(pod)]
        return max((ended.count(slot) for slot in ended), default=0)


rules = st.fixed_dictionaries(
    {
        "parallelism": st.integers(0, 3),
        "delaySeconds": st.sampled_from([0, 3]),
        "order": st.sampled_from(["stop-first", "start-first"]),
        "monitorSeconds": st.sampled_from([0, 4]),
        "minimumHealthyPercent": st.sampled_from([0, 50, 75]),
        "maximumPercent": st.sampled_from([None, 100, 125, 200]),
    }
)
pods = st.lists(
    st.builds(
        task,
        st.integers(1, 6),
        st.sampled_from(["old", GOOD]),
        ready=st.sampled_from([None, 100]),
        deleting=st.booleans(),
        marked=st.booleans(),
        phase=st.sampled_from(["Running", "Running", "Failed"]),
        age=st.integers(50, 500),
    ),
    max_size=8,
)


@settings(max_examples=120, deadline=None)
@given(count=st.integers(0, 5), found=pods, update=rules, cut=st.integers(0, 9), limit=st.integers(0, 3))
def test_law_it_converges_from_anywhere_within_its_limits(
    count: int, found: list[TaskPod], update: dict[str, Any], cut: int, limit: int
) -> None:
    spec = {"update": update, "restart": {"delaySeconds": 0}, "taskHistoryLimit": limit}
    sim = Sim(count, spec, GOOD, list(found), before="old")
    for turn in range(80):
        ready, here = sim.ready(), len(sim.active())
        plan = sim.step(cut if turn == 0 else 10_000)
        least, most = limits(count, approllout.policy(sim.app, sim.version))
        wanted = {str(number) for number in range(1, count + 1)}
        slots = [slot_of(pod) for pod in sim.active() if version_of(pod) == GOOD]
        if plan.create and most is not None:
            assert len(sim.active()) <= max(most, here)
        in_slots = [pod for pod in sim.active() if slot_of(pod) in wanted]
        assert turn == 0 or len(slots) == len(set(slots))
        if plan.stop and turn:
            working = len({slot_of(pod) for pod in in_slots if is_ready(pod)})
            assert working >= min(least, ready)
        settled = not plan.acts() and all(is_ready(pod) or is_over(pod) for pod in sim.pods)
        if settled and sim.status.get("update", {}).get(
            "completed_at", sim.status.get("update", {}).get("completedAt")
        ):
            break
        sim.advance()
    assert sorted(slot_of(pod) for pod in sim.active()) == sorted(wanted)
    assert {version_of(pod) for pod in sim.active()} <= {GOOD}
    assert sim.history() <= max(limit, 1)
    assert not sim.step().acts()


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(1, 5),
    update=rules,
    ratio=st.sampled_from([0.0, 0.3]),
    cuts=st.lists(st.integers(0, 4), max_size=6),
    limit=st.integers(0, 3),
)
def test_law_an_update_that_fails_is_rolled_back_once_and_for_good(
    count: int, update: dict[str, Any], ratio: float, cuts: list[int], limit: int
) -> None:
    rule = {**update, "monitorSeconds": 4, "failureAction": "rollback", "maxFailureRatio": ratio}
    spec = {"update": rule, "restart": {"delaySeconds": 2}, "taskHistoryLimit": limit}
    sim = Sim(count, spec, GOOD)
    for _ in range(6):
        sim.step()
        sim.advance()
    sim.update(BAD)
    for turn in range(150):
        sim.step(cuts[turn] if turn < len(cuts) else 10_000)
        assert sim.history() <= max(limit, 2) + 2
        sim.advance()
        if sim.status.get("update", {}).get("state") == "rollback_completed" and sim.rollbacks:
            break
    assert sim.rollbacks == 1
    assert sim.status["update"]["state"] == "rollback_completed"
    assert [version_of(pod) for pod in sim.active()] == [GOOD] * count
    # What told of the failure is forgotten now, where no history is kept.
    for _ in range(3):
        sim.step()
        sim.advance()
    assert not sim.step().acts()


@settings(max_examples=80, deadline=None)
@given(count=st.integers(0, 5), found=pods, update=rules)
def test_law_behind_a_gate_nothing_begins_and_once_it_opens_all_does(
    count: int, found: list[TaskPod], update: dict[str, Any]
) -> None:
    sim = Sim(count, {"update": update, "restart": {"delaySeconds": 0}}, GOOD, list(found), before="old")
    sim.gate = Gate("old", ("db is not healthy yet",))
    good = {pod.metadata.uid for pod in sim.active() if version_of(pod) == GOOD}
    for _ in range(12):
        before = sim.ready()
        plan = sim.step()
        assert not plan.create
        if not good:
            assert sim.ready() >= before - len(plan.delete)
        sim.advance()
    assert not sim.started
    sim.gate = Gate(GOOD)
    for _ in range(80):
        sim.step()
        sim.advance()
    assert sorted(slot_of(pod) for pod in sim.active()) == [str(number) for number in range(1, count + 1)]
    assert {version_of(pod) for pod in sim.active()} <= {GOOD}


@settings(max_examples=60, deadline=None)
@given(
    delay=st.sampled_from([0, 2, 7]),
    attempts=st.integers(0, 4),
    window=st.sampled_from([0, 20]),
    limit=st.integers(0, 3),
    cuts=st.lists(st.integers(0, 3), max_size=6),
)
def test_law_a_task_that_fails_is_tried_so_often_and_no_sooner(
    delay: int, attempts: int, window: int, limit: int, cuts: list[int]
) -> None:
    restart = {"condition": "any", "delaySeconds": delay, "maxAttempts": attempts, "windowSeconds": window}
    sim = Sim(1, {"restart": restart, "taskHistoryLimit": limit}, BAD)
    for turn in range(60):
        sim.step(cuts[turn] if turn < len(cuts) else 10_000)
        assert len(sim.active()) <= 1
        assert sim.history() <= max(limit, 1) + 1
        sim.advance()
    starts = [at for _, at in sim.started]
    # A pod runs for two turns of a second, then the delay passes.
    assert all(after - before >= delay for before, after in itertools.pairwise(starts))
    if attempts and not window:
        assert len(starts) == attempts + 1
    if attempts and window:
        for at in starts[1:]:
            assert sum(at - window < each <= at for each in starts[1:]) <= attempts
    if not attempts:
        assert len(starts) > 5
        assert attempt_of(sim.pods[-1]).restarts == len(starts) - 1
