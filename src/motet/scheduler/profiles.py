"""Profiles: how pods of one `spec.schedulerName` are scored, and where they may run at all (Kubernetes "Scheduler
Configuration").

They are read from a KubeSchedulerConfiguration. What it can say and this scheduler does not do is refused with the field's name.
Every score has upstream's weight unless the file gives another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from motet.base.errors import MotetError
from motet.scheduler.views import NodeSelector

DEFAULT_NAME = "default-scheduler"
FILE = "scheduler.yaml"
# What is named so is the default profile too.
_ALSO = "motet"
_MOST_WEIGHT = 100

_T = TypeVar("_T")


class BadConfiguration(MotetError):
    """The file is no configuration of this scheduler."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What each part of a score counts, and the nodes that its pods are confined to.

    Room is what is left of the scarcer of processor and memory: the sum of upstream's "least allocated" and "balanced
    allocation" scores orders nodes the same way. A profile that `packs` wants as little left as possible instead. Spreading an
    owner's pods counts as much as room for the first of them, and less the more there are. `liked` and `even` are told per
    node only once neighbours matter; upstream weighs both twice.
    """

    name: str = DEFAULT_NAME
    spread: float = 2.0
    room: float = 2.0
    preferred: float = 2.0
    prefer_no: float = 3.0
    liked: float = 4.0
    even: float = 4.0
    local: float = 1.0
    packs: bool = False
    confined: NodeSelector | None = None


DEFAULT = Profile()
Profiles = Mapping[str, Profile]
USUAL: Profiles = {DEFAULT_NAME: DEFAULT, _ALSO: DEFAULT}

# Upstream's score plugins: their default weight, and the parts of a score that are theirs.
_SCORES: dict[str, tuple[int, tuple[str, ...]]] = {
    "ImageLocality": (1, ("local",)),
    "InterPodAffinity": (2, ("liked",)),
    "NodeAffinity": (2, ("preferred",)),
    "NodeResourcesFit": (1, ("room",)),
    "PodTopologySpread": (2, ("spread", "even")),
    "TaintToleration": (3, ("prefer_no",)),
}
# It is one part of the score with NodeResourcesFit.
_BALANCE = "NodeResourcesBalancedAllocation"


class _Struct(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class _Plugin(_Struct, frozen=True):
    name: str
    weight: int = 0


class _Plugins(_Struct, frozen=True):
    enabled: tuple[_Plugin, ...] = ()
    disabled: tuple[_Plugin, ...] = ()


class _Points(_Struct, frozen=True):
    score: _Plugins = _Plugins()


class _PluginConfig(_Struct, frozen=True):
    name: str
    args: dict[str, Any] = {}


class _Profile(_Struct, frozen=True):
    scheduler_name: str = DEFAULT_NAME
    plugins: _Points = _Points()
    plugin_config: tuple[_PluginConfig, ...] = ()


class _File(_Struct, frozen=True):
    api_version: str
    kind: str
    profiles: tuple[_Profile, ...] = ()


class _Strategy(_Struct, frozen=True):
    type: str = "LeastAllocated"


class _FitArgs(_Struct, frozen=True):
    api_version: str = ""
    kind: str = ""
    scoring_strategy: _Strategy = _Strategy()


class _Added(_Struct, frozen=True):
    required: NodeSelector | None = msgspec.field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class _AffinityArgs(_Struct, frozen=True):
    api_version: str = ""
    kind: str = ""
    added_affinity: _Added | None = None


def load(path: Path) -> Profiles:
    """The profiles in a file, or the usual ones when there is no such file. Raises BadConfiguration, OSError."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return USUAL
    try:
        return parse(text)
    except BadConfiguration as error:
        raise BadConfiguration(f"{path}: {error}") from error


def parse(text: str) -> Profiles:
    """By scheduler name; the default profile stays unless the text has another of its name. Raises BadConfiguration."""
    try:
        file = msgspec.convert(yaml.safe_load(text), _File)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise BadConfiguration(str(error)) from error
    if (file.api_version, file.kind) != ("kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"):
        raise BadConfiguration("must be a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1")
    found: dict[str, Profile] = {}
    for at, told in enumerate(file.profiles):
        path = f"profiles[{at}]"
        if not told.scheduler_name or told.scheduler_name in found:
            raise BadConfiguration(f"{path}.schedulerName: must be there, and another one in each profile")
        found[told.scheduler_name] = _profile(told, path)
    default = found.get(DEFAULT_NAME, DEFAULT)
    return {DEFAULT_NAME: default, _ALSO: default, **found}


def _profile(told: _Profile, path: str) -> Profile:
    weights = _weights(told.plugins.score, f"{path}.plugins.score")
    profile = replace(DEFAULT, name=told.scheduler_name)
    for plugin, weight in weights.items():
        usual, parts = _SCORES[plugin]
        profile = replace(profile, **{part: getattr(DEFAULT, part) * weight / usual for part in parts})
    for at, config in enumerate(told.plugin_config):
        where = f"{path}.pluginConfig[{at}]"
        match config.name:
            case "NodeResourcesFit":
                strategy = _args(config, _FitArgs, where).scoring_strategy.type
                if strategy not in ("LeastAllocated", "MostAllocated"):
                    raise BadConfiguration(f"{where}.args.scoringStrategy.type: LeastAllocated or MostAllocated only")
                profile = replace(profile, packs=strategy == "MostAllocated")
            case "NodeAffinity":
                added = _args(config, _AffinityArgs, where).added_affinity
                profile = replace(profile, confined=added.required if added is not None else None)
            case _:
                raise BadConfiguration(f"{where}.name: only NodeResourcesFit and NodeAffinity take arguments here")
    return profile


def _weights(told: _Plugins, path: str) -> dict[str, int]:
    weights: dict[str, int] = {}
    for plugin in _known(told.disabled, f"{path}.disabled", _SCORES.keys() | {"*"}):
        weights.update(dict.fromkeys(_SCORES, 0) if plugin.name == "*" else {plugin.name: 0})
    for plugin in _known(told.enabled, f"{path}.enabled", _SCORES.keys()):
        if not 0 <= plugin.weight <= _MOST_WEIGHT:
            raise BadConfiguration(f"{path}.enabled: weight of {plugin.name}: must be between 0 and {_MOST_WEIGHT}")
        # Zero is "not said", as upstream.
        weights[plugin.name] = plugin.weight or _SCORES[plugin.name][0]
    return weights


def _known(plugins: Iterable[_Plugin], path: str, known: Iterable[str]) -> Iterable[_Plugin]:
    for plugin in plugins:
        if plugin.name == _BALANCE:
            raise BadConfiguration(f"{path}: {_BALANCE} has no weight of its own here: it is part of NodeResourcesFit")
        if plugin.name not in known:
            raise BadConfiguration(
                f"{path}: {plugin.name}: no score of this scheduler; known are {', '.join(sorted(known))}"
            )
        yield plugin


def _args(config: _PluginConfig, shape: type[_T], path: str) -> _T:
    try:
        return msgspec.convert(config.args, shape)
    except msgspec.ValidationError as error:
        raise BadConfiguration(f"{path}.args: {error}") from error
