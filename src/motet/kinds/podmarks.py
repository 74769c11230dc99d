"""What can be asked of a pod though its specification has no field for it, which Docker's services have: in annotations.

They ask for nothing that every pod's author might not have anyway: other owners of the files that are the pod's own, a place in
the order of those that are killed when memory runs out, and smaller logs. The number of processes is in `processes`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from motet.base.errors import FieldError, invalid
from motet.base.ip import parse_address
from motet.kinds.placeholders import Values

# `VOLUME=UID:GID,...`: who owns the files of volumes that come from the API.
FILE_OWNERS = "motet.dev/file-owners"
# `VOLUME,...`: those whose files have placeholders to be filled in; and with what, but for what the node knows.
EXPANDED = "motet.dev/expand-files"
VALUES = "motet.dev/placeholders"
# As whom containers run that name no number: USER or USER:GROUP, looked up in the image.
USER = "motet.dev/run-as-user"
# oom_score_adj(5) of every container; lower than it would be without only where memory is limited.
OOM_SCORE = "motet.dev/oom-score-adj"
# Bytes after which the log of a container is set aside, and how many files of it are kept, the one in use among them.
LOG_SIZE = "motet.dev/log-max-size"
LOG_FILES = "motet.dev/log-max-files"
# `ADDRESS,...`: the name servers that the node asks about names outside the cluster for this pod, instead of its own.
NAME_SERVERS = "motet.dev/name-servers"

Owner = tuple[int, int]

_MOST_ID = 2**32 - 2
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}"
_USER = re.compile(rf"[A-Za-z_][A-Za-z0-9_.-]{{0,31}}|{_NAME}:{_NAME}")
_OWNER = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?)=([0-9]{1,10}):([0-9]{1,10})")
# What a pod of the highest class gets by itself, and the kernel's greatest.
_LEAST_SCORE, _MOST_SCORE = -997, 1000
# A log that is set aside more often than it is looked at is none.
_LEAST_LOG, _MOST_LOG = 4096, 2**40
_MOST_FILES = 1000
_MOST_SERVERS = 8


def oom_score(annotations: Mapping[str, str] | None) -> int | None:
    """Raises ValueError saying what is wrong."""
    found = (annotations or {}).get(OOM_SCORE)
    return None if found is None else _whole(found, _LEAST_SCORE, _MOST_SCORE)


def file_owners(annotations: Mapping[str, str] | None) -> dict[str, Owner]:
    """Owners by the names of volumes. Raises ValueError saying what is wrong."""
    found = {}
    for entry in filter(None, (annotations or {}).get(FILE_OWNERS, "").split(",")):
        match = _OWNER.fullmatch(entry)
        if match is None or int(match[3]) > _MOST_ID or int(match[4]) > _MOST_ID:
            raise ValueError(f"{entry!r} is not VOLUME=UID:GID")
        found[match[1]] = int(match[3]), int(match[4])
    return found


def user(annotations: Mapping[str, str] | None) -> str:
    """Empty for whom the image says. Raises ValueError saying what is wrong."""
    found = (annotations or {}).get(USER, "")
    if found and not _USER.fullmatch(found):
        raise ValueError("must be the name of a user, or USER:GROUP, names of at most 32 characters")
    return found


def expanded(annotations: Mapping[str, str] | None) -> frozenset[str]:
    """Names of volumes."""
    return frozenset(filter(None, (annotations or {}).get(EXPANDED, "").split(",")))


def values(annotations: Mapping[str, str] | None) -> Values:
    """Raises ValueError saying what is wrong."""
    text = (annotations or {}).get(VALUES) or "{}"
    try:
        found = msgspec.json.decode(text, type=_Values)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    return Values(found.plain, found.labels)


def values_text(of: Values) -> str:
    """What `values` reads."""
    return msgspec.json.encode(_Values(dict(of.plain), dict(of.labels))).decode()


class _Values(msgspec.Struct, frozen=True):
    plain: dict[str, str] = {}
    labels: dict[str, str] = {}


def log_rotation(annotations: Mapping[str, str] | None, size: int, files: int) -> tuple[int, int]:
    """(bytes, files) of a pod's logs, where the node's are `size` and `files`. Raises ValueError saying what is wrong."""
    given = annotations or {}
    own_size = _whole(given[LOG_SIZE], _LEAST_LOG, _MOST_LOG) if LOG_SIZE in given else size
    own_files = _whole(given[LOG_FILES], 1, _MOST_FILES) if LOG_FILES in given else files
    return own_size, own_files


def name_servers(annotations: Mapping[str, str] | None) -> tuple[str, ...]:
    """Addresses; none for the node's own. Raises ValueError saying what is wrong."""
    found = tuple(filter(None, (each.strip() for each in (annotations or {}).get(NAME_SERVERS, "").split(","))))
    if len(found) > _MOST_SERVERS:
        raise ValueError(f"must not be more than {_MOST_SERVERS}")
    for each in found:
        address = parse_address(each)
        # The node is who asks, and these would be itself.
        if address.is_loopback or address.is_unspecified or address.is_multicast:
            raise ValueError(f"{each} is no server that the node can ask for a pod")
    return found


def name_servers_text(servers: Sequence[str]) -> str:
    """What `name_servers` reads."""
    return ",".join(servers)


def owners_text(owners: Mapping[str, Owner]) -> str:
    """What `file_owners` reads."""
    return ",".join(f"{volume}={user}:{group}" for volume, (user, group) in sorted(owners.items()))


def validate(annotations: Mapping[str, str]) -> list[FieldError]:
    errors = []
    readers: tuple[tuple[str, Callable[[Mapping[str, str]], object]], ...] = (
        (OOM_SCORE, oom_score),
        (FILE_OWNERS, file_owners),
        (VALUES, values),
        (USER, user),
        (NAME_SERVERS, name_servers),
        (LOG_SIZE, lambda given: log_rotation({LOG_SIZE: given[LOG_SIZE]}, 0, 0) if LOG_SIZE in given else None),
        (LOG_FILES, lambda given: log_rotation({LOG_FILES: given[LOG_FILES]}, 0, 0) if LOG_FILES in given else None),
    )
    for key, read in readers:
        try:
            read(annotations)
        except ValueError as error:
            errors.append(invalid(f"metadata.annotations[{key}]", annotations[key], str(error)))
    return errors


def _whole(text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"-?[0-9]{1,13}", text) or not least <= int(text) <= most:
        raise ValueError(f"must be a whole number from {least} to {most}")
    return int(text)
