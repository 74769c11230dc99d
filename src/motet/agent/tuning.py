"""A node's settings from a file: the fields of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1) that mean something here.

Everything is optional. A field that is not known is refused by name: a setting that is silently ignored is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from motet.agent.config import AgentConfig
from motet.base import quantity
from motet.base.durations import parse_duration
from motet.base.errors import MotetError
from motet.pods import eviction
from motet.pods.eviction import Threshold

FILE = "kubelet.yaml"


def apply(config: AgentConfig, path: Path) -> AgentConfig:
    """`config` with what the file at `path` says, if there is one. Raises MotetError naming the file and the field."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return config
    except OSError as error:
        raise MotetError(f"{path} cannot be read: {error.strerror}") from error
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise MotetError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise MotetError(f"{path} must hold the fields of a KubeletConfiguration")
    try:
        return tuned(config, document)
    except ValueError as error:
        raise MotetError(f"{path}: {error}") from error


def tuned(config: AgentConfig, document: Mapping[str, Any]) -> AgentConfig:
    """Raises ValueError naming the field."""
    changes: dict[str, Any] = {}
    for name, value in document.items():
        if name in ("kind", "apiVersion", *_EVICTION):
            continue
        if name not in _FIELDS:
            known = ", ".join(sorted({*_FIELDS, *_EVICTION}))
            raise ValueError(f"{name}: not a setting of this node; known are {known}")
        try:
            changes.update(_FIELDS[name](value))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{name}: {error}") from error
    if document.keys() & set(_EVICTION):
        changes["thresholds"] = tuple(_thresholds(document))
    policy = {name.removeprefix("image_"): changes.pop(name) for name in list(changes) if name.startswith("image_")}
    made = replace(config, **changes, images=replace(config.images, **policy))
    if made.images.low >= made.images.high:
        raise ValueError("imageGCLowThresholdPercent must be less than imageGCHighThresholdPercent")
    return made


def shown(config: AgentConfig) -> dict[str, Any]:
    """The settings in force, in the words of a KubeletConfiguration (kubelet's `/configz`)."""

    def listed(*, hard: bool) -> dict[str, str]:
        return {
            each.signal: f"{each.share * 100:g}%" if each.share else str(each.quantity)
            for each in config.thresholds
            if each.hard is hard
        }

    found: dict[str, Any] = {
        "allowedUnsafeSysctls": list(config.unsafe_sysctls),
        "clusterDNS": [str(config.dns_address)],
        "clusterDomain": config.domain,
        "containerLogMaxFiles": config.kept_logs,
        "containerLogMaxSize": str(config.rotate_logs_at),
        "evictionHard": listed(hard=True),
        "evictionMaxPodGracePeriod": config.eviction_grace,
        "evictionPressureTransitionPeriod": f"{config.eviction_transition:g}s",
        "imageGCHighThresholdPercent": config.images.high,
        "imageGCLowThresholdPercent": config.images.low,
        "imageMaximumGCAge": f"{config.images.longest:g}s",
        "imageMinimumGCAge": f"{config.images.least_age:g}s",
        "maxPods": config.max_pods,
        "podPidsLimit": config.pids_per_pod or -1,
        "port": config.port,
        "rootDir": str(config.kubelet),
        "staticPodPath": str(config.manifests),
        "systemReserved": {
            "cpu": quantity.format_millis(config.reserved_cpu_millis),
            "memory": quantity.format_bytes(config.reserved_memory),
        },
    }
    if soft := listed(hard=False):
        graces = {each.signal: f"{each.grace:g}s" for each in config.thresholds if not each.hard}
        found.update(evictionSoft=soft, evictionSoftGracePeriod=graces)
    return found


_EVICTION = ("evictionHard", "evictionSoft", "evictionSoftGracePeriod")


def _thresholds(document: Mapping[str, Any]) -> list[Threshold]:
    """Hard ones replace the defaults only when they are given, as upstream; soft ones need a grace period each."""
    hard, soft = document.get("evictionHard"), document.get("evictionSoft") or {}
    graces = document.get("evictionSoftGracePeriod") or {}
    for name, value in (("evictionHard", hard or {}), ("evictionSoft", soft), ("evictionSoftGracePeriod", graces)):
        if not isinstance(value, dict):
            raise ValueError(f"{name}: must be a mapping of signals")
    found = (
        list(eviction.DEFAULTS) if hard is None else [eviction.parse(f"{key}<{value}") for key, value in hard.items()]
    )
    for signal, value in soft.items():
        if signal not in graces:
            raise ValueError(f"evictionSoftGracePeriod: {signal} needs one, because evictionSoft has it")
        grace = parse_duration(str(graces[signal]))
        if grace <= 0:
            raise ValueError(f"evictionSoftGracePeriod: {signal} must be longer than nothing")
        found.append(eviction.parse(f"{signal}<{value}", grace))
    return found


def _whole(field: str, least: int = 0) -> Callable[[Any], dict[str, Any]]:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"must be a whole number of at least {least}")
        return {field: value}

    return read


def _pids(value: Any) -> dict[str, Any]:
    # Upstream's -1 is our 0: no limit.
    return {"pids_per_pod": 0 if value == -1 else _whole("", 1)(value)[""]}


def _reserved(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, amount in value.items():
        match name:
            case "cpu":
                found["reserved_cpu_millis"] = quantity.millis(amount)
            case "memory":
                found["reserved_memory"] = quantity.whole(amount)
            case _:
                raise ValueError(f"{name} cannot be kept from pods; only cpu and memory can")
    return found


def _images(part: str, read: Callable[[Any], float]) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {f"image_{part}": read(value)}


def _absolute(value: Any) -> Path:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("must be an absolute path")
    return Path(value)


def _percent(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= 100:
        raise ValueError("must be a whole number from 0 to 100")
    return value


_FIELDS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "allowedUnsafeSysctls": lambda value: {"unsafe_sysctls": tuple(str(each) for each in value)},
    "containerLogMaxFiles": _whole("kept_logs", 2),
    "containerLogMaxSize": lambda value: {"rotate_logs_at": quantity.whole(value)},
    "evictionMaxPodGracePeriod": _whole("eviction_grace"),
    "evictionPressureTransitionPeriod": lambda value: {"eviction_transition": parse_duration(str(value))},
    "imageGCHighThresholdPercent": _images("high", _percent),
    "imageGCLowThresholdPercent": _images("low", _percent),
    "imageMaximumGCAge": _images("longest", lambda value: parse_duration(str(value))),
    "imageMinimumGCAge": _images("least_age", lambda value: parse_duration(str(value))),
    "maxPods": _whole("max_pods", 1),
    "podPidsLimit": _pids,
    # The kubelet has no field for it, only the flag --root-dir.
    "rootDir": lambda value: {"kubelet_dir": _absolute(value)},
    "staticPodPath": lambda value: {"manifests_dir": Path(str(value))},
    "systemReserved": _reserved,
}
