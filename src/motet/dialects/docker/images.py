"""Images of the manager's node: `docker images|inspect|history|tag|rmi`, `docker image prune`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from motet.base import durations, timestamps
from motet.dialects.docker import local_images, objects, references
from motet.dialects.docker.call import Call, answer, empty
from motet.dialects.docker.errors import DockerError, bad
from motet.dialects.docker.filters import Filters
from motet.dialects.docker.local_images import Image
from motet.dialects.docker.router import Route

Json = dict[str, Any]

# The first second of the year 1.
_NEVER = -62135596800.0
_FILTERS = ("before", "dangling", "label", "reference", "since", "until")


# --- as Docker shows them ---------------------------------------------------------------------------------------------


def created(image: Image) -> float:
    """Seconds since 1970; Go's zero of times for an image that does not say."""
    return objects.seconds(image.configuration.get("created")) or _NEVER


def summary(image: Image, *, digests: bool, old: bool) -> Json:
    """A line of `docker images`. `old`: for versions before 1.44, which have one more field."""
    found: Json = {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": [references.familiar(name) for name in image.tags],
        "RepoDigests": [references.familiar(name) for name in image.digests],
        "Created": int(created(image)),
        "Size": image.size,
        "SharedSize": -1,
        "Labels": image.labels or None,
        "Containers": len(image.containers) if digests else -1,
    }
    if old:
        found["VirtualSize"] = image.size
        # How daemons of those versions say that there is none.
        found["RepoTags"] = found["RepoTags"] or ["<none>:<none>"]
        found["RepoDigests"] = found["RepoDigests"] or ["<none>@<none>"]
    return found


def detail(image: Image, *, old: bool) -> Json:
    """What `docker image inspect` shows."""
    configuration, config = image.configuration, image.config
    found: Json = {
        "Id": image.id,
        "RepoTags": [references.familiar(name) for name in image.tags],
        "RepoDigests": [references.familiar(name) for name in image.digests],
        "Parent": "",
        "Comment": str(configuration.get("comment") or ""),
        "Created": configuration.get("created") or objects.time(None),
        "DockerVersion": str(configuration.get("docker_version") or ""),
        "Author": str(configuration.get("author") or ""),
        "Config": {
            "User": "",
            "Env": None,
            "Cmd": None,
            "Volumes": None,
            "WorkingDir": "",
            "Entrypoint": None,
            "OnBuild": None,
            "Labels": None,
            **config,
        },
        "Architecture": configuration.get("architecture", ""),
        "Os": configuration.get("os", ""),
        "Size": image.size,
        "GraphDriver": {"Data": None, "Name": "overlayfs"},
        "RootFS": {"Type": "layers", "Layers": (configuration.get("rootfs") or {}).get("diff_ids") or []},
        "Metadata": {"LastTagTime": timestamps.format_time(datetime.fromtimestamp(image.tagged_at, UTC))},
    }
    if configuration.get("variant"):
        found["Variant"] = configuration["variant"]
    if old:
        found["VirtualSize"] = image.size
    return found


def history(image: Image) -> list[Json]:
    """The steps an image was made in, youngest first. Only the last one has a name."""
    layers = iter(image.layers)
    steps = []
    for step in image.configuration.get("history") or ():
        layer = None if step.get("empty_layer") else next(layers, None)
        steps.append(
            {
                "Id": "<missing>",
                "Created": int(objects.seconds(step.get("created"))),
                "CreatedBy": step.get("created_by", ""),
                "Tags": None,
                "Size": layer.size if layer is not None else 0,
                "Comment": step.get("comment", ""),
            }
        )
    # Images need not tell how they were made; their layers are there all the same.
    steps += [
        {"Id": "<missing>", "Created": 0, "CreatedBy": "", "Tags": None, "Size": layer.size, "Comment": ""}
        for layer in layers
    ]
    if steps:
        steps[-1]["Id"] = image.id
        steps[-1]["Tags"] = [references.familiar(name) for name in image.tags] or None
    return steps[::-1]


# --- which of them ----------------------------------------------------------------------------------------------------


def chosen(images: Sequence[Image], filters: Filters, now: float) -> list[Image]:
    """Those that the filters are for, youngest first. `now` in seconds since 1970. Raises DockerError."""
    dangling = filters.truth("dangling")
    before = _moments(images, filters, "before")
    since = _moments(images, filters, "since")
    until = [moment(each, now) for each in filters.values("until")]
    found = [
        image
        for image in images
        if (dangling is None or dangling is not bool(image.tags))
        and filters.labels(image.labels)
        and all(created(image) < each for each in (*before, *until))
        and all(created(image) > each for each in since)
        and _referred(image, filters.values("reference"))
    ]
    return sorted(found, key=lambda image: (-created(image), image.tags, image.id))


def _moments(images: Sequence[Image], filters: Filters, key: str) -> list[float]:
    return [created(local_images.pick(images, each)) for each in filters.values(key)]


def moment(text: str, now: float) -> float:
    """A time as Docker's filters take it, in seconds since 1970: such seconds, RFC 3339, or how long ago (`24h`).

    Raises DockerError.
    """
    try:
        if text.replace(".", "", 1).isdigit():
            return float(text)
        if text[:4].isdigit() and "-" in text:
            return timestamps.parse_time(text if "T" in text else f"{text}T00:00:00Z").timestamp()
        return now - durations.parse_duration(text)
    except ValueError as error:
        raise bad(f"{text!r} is no time") from error


def _referred(image: Image, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the patterns, with its tag or without."""
    wanted = list(patterns)
    if not wanted:
        return True
    names = [references.familiar(name) for name in (*image.tags, *image.digests)]
    bare = [references.familiar(references.repository(name)) for name in (*image.tags, *image.digests)]
    return any(_fits(name, pattern) for pattern in wanted for name in (*names, *bare))


def _fits(name: str, pattern: str) -> bool:
    """Go's path.Match: a star ends at a slash."""
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


# --- taking them away -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be done, and what Docker calls it."""

    names: tuple[str, ...]
    told: tuple[Mapping[str, str], ...]


def removal(image: Image, asked: str, *, force: bool) -> Removal:
    """How to remove what somebody called `asked`. Raises DockerError 409 for what others need."""
    prefix = references.id_prefix(asked)
    by_id = bool(prefix) and image.id.startswith(f"sha256:{prefix}") and not _is_name(image, asked)
    if not by_id:
        name = references.full(asked)
        if name in image.tags and len(image.tags) > 1:
            # A repository's digests go with its last tag.
            names = (name, *_left_alone(image, name))
            return Removal(names, tuple({"Untagged": references.familiar(each)} for each in names))
        others = [each for each in image.tags if each != name]
        if name in image.digests and others:
            return Removal((name,), ({"Untagged": references.familiar(name)},))
    elif len({references.repository(tag) for tag in image.tags}) > 1 and not force:
        raise _conflict(image, "must be forced", "image is referenced in multiple repositories")
    _spare_used(image, asked, by_id=by_id, force=force)
    told = [{"Untagged": references.familiar(name)} for name in (*image.tags, *image.digests)]
    return Removal(image.names, (*told, {"Deleted": image.id}))


def _left_alone(image: Image, tag: str) -> list[str]:
    """The digests that an image has in a repository of which this is its only tag."""
    repository = references.repository(tag)
    if any(references.repository(each) == repository for each in image.tags if each != tag):
        return []
    return [each for each in image.digests if references.repository(each) == repository]


def _is_name(image: Image, asked: str) -> bool:
    try:
        return references.full(asked) in (*image.tags, *image.digests)
    except DockerError:
        return False


def _spare_used(image: Image, asked: str, *, by_id: bool, force: bool) -> None:
    for container in sorted(image.containers, key=lambda each: not each.running):
        short = container.id[:12]
        if container.running:
            raise _conflict(image, "cannot be forced", f"image is being used by running container {short}")
        if not force and by_id:
            raise _conflict(image, "must be forced", f"image is being used by stopped container {short}")
        if not force:
            raise DockerError(
                409,
                f'conflict: unable to remove repository reference "{asked}" (must force) - container {short} is using its '
                f"referenced image {_short(image)}",
            )


def _conflict(image: Image, force: str, why: str) -> DockerError:
    return DockerError(409, f"conflict: unable to delete {_short(image)} ({force}) - {why}")


def _short(image: Image) -> str:
    return image.id.removeprefix("sha256:")[:12]


# --- handlers ---------------------------------------------------------------------------------------------------------


def _is_old(call: Call) -> bool:
    return call.version < (1, 44)


async def ls(call: Call) -> web.Response:
    filters = call.filters(*_FILTERS)
    if old := call.query.get("filter", ""):
        filters = Filters({"reference": (old,)})
    found = chosen(await local_images.known(call), filters, call.engine.clock.now().timestamp())
    counted = call.flag("shared-size")
    return answer([summary(each, digests=counted, old=_is_old(call)) for each in found])


async def inspect(call: Call) -> web.Response:
    if call.flag("manifests"):
        raise bad("manifests is not supported by Motet: a node keeps an image of its own platform")
    return answer(detail(await local_images.find(call, call.path["name"]), old=_is_old(call)))


async def show_history(call: Call) -> web.Response:
    refuse_platform(call)
    return answer(history(await local_images.find(call, call.path["name"])))


def refuse_platform(call: Call) -> None:
    if call.query.get("platform"):
        raise bad("platform is not supported by Motet: a node keeps an image of its own platform")


async def tag(call: Call) -> web.Response:
    image = await local_images.find(call, call.path["name"])
    repository, label = call.query.get("repo", ""), call.query.get("tag", "")
    if "@" in repository:
        raise bad("refusing to create a tag with a digest reference")
    name = references.full(references.joined(repository, label))
    await local_images.ask(call, "tag", {"image": image.id, "name": name})
    call.note("image", "tag", image.id, name=references.familiar(name))
    return empty(201)


async def remove(call: Call) -> web.Response:
    asked = call.path["name"]
    image = await local_images.find(call, asked)
    planned = removal(image, asked, force=call.flag("force"))
    await _carry_out(call, image, planned)
    return answer(list(planned.told))


async def _carry_out(call: Call, image: Image, planned: Removal) -> None:
    await local_images.ask(call, "untag", {"names": list(planned.names)})
    for each in planned.told:
        for word, name in each.items():
            call.note("image", "delete" if word == "Deleted" else "untag", image.id, name=name)


async def prune(call: Call) -> web.Response:
    """Images without a name that no container is of; with `dangling=false` those with one, too."""
    filters = call.filters("dangling", "label", "until")
    gone: list[Mapping[str, str]] = []
    freed = 0
    for image in pruned(await local_images.known(call), filters, call.engine.clock.now().timestamp()):
        planned = removal(image, image.id, force=True)
        await _carry_out(call, image, planned)
        gone += planned.told
        freed += image.size
    return answer({"ImagesDeleted": gone or None, "SpaceReclaimed": freed})


def pruned(images: Sequence[Image], filters: Filters, now: float) -> list[Image]:
    """What a prune takes. Raises DockerError."""
    everything = filters.truth("dangling") is False
    until = [moment(each, now) for each in filters.values("until")]
    return [
        image
        for image in images
        if not image.containers
        and (everything or not image.tags)
        and filters.labels(image.labels)
        and all(created(image) < each for each in until)
    ]


ROUTES = (
    Route("GET", "/images/json", ls),
    Route("POST", "/images/prune", prune),
    Route("GET", "/images/{name*}/json", inspect),
    Route("GET", "/images/{name*}/history", show_history),
    Route("POST", "/images/{name*}/tag", tag),
    Route("DELETE", "/images/{name*}", remove),
)
