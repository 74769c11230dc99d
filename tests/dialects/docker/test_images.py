"""Names of images, which of them are meant, and what removing one takes away."""

from __future__ import annotations

import pytest

from motet.dialects.docker import images, local_images, references
from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.filters import Filters
from motet.dialects.docker.local_images import Container, Image, Layer

ID = "sha256:" + "ab" * 32
DIGEST = "sha256:" + "cd" * 32
WEB, WEB2, OTHER = "docker.io/library/web:1", "docker.io/library/web:2", "example.com/web:1"
AT = f"docker.io/library/web@{DIGEST}"


def image(*tags: str, **fields: object) -> Image:
    digests = tuple(fields.pop("digests", ()))  # type: ignore[arg-type]
    configuration = {"created": "2026-01-02T00:00:00Z", "config": {"Labels": {"a": "b"}}}
    fields = {"configuration": configuration, **fields}
    return Image(ID, tuple(tags), digests, (ID, *tags, *digests), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("web", "docker.io/library/web:latest"),
        ("a/web:1", "docker.io/a/web:1"),
        ("localhost:5000/web:1", "localhost:5000/web:1"),
        (f"web:1@{DIGEST}", AT),
    ],
)
def test_names_are_shown_as_people_write_them(short: str, full: str) -> None:
    assert references.full(short) == full
    assert references.full(references.familiar(full)) == full


@pytest.mark.parametrize("name", ["Web", "web:", "web@sha256:1", "", "a//b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(DockerError, match="invalid reference format"):
        references.full(name)


@pytest.mark.parametrize("asked", ["web:1", ID, "ab" * 32, "abab", "sha256:abab", f"web@{DIGEST}", f"web:9@{DIGEST}"])
def test_an_image_is_found_by_name_digest_and_identifier(asked: str) -> None:
    assert local_images.pick([image(WEB, digests=(AT,))], asked).id == ID


@pytest.mark.parametrize(("asked", "said"), [("web", "web:latest"), ("web:2", "web:2"), ("cd", "cd")])
def test_what_is_not_there_is_said_as_the_daemon_says_it(asked: str, said: str) -> None:
    with pytest.raises(DockerError) as refused:
        local_images.pick([image(WEB)], asked)
    assert (refused.value.code, refused.value.message) == (404, f"No such image: {said}")


def told(found: images.Removal) -> list[str]:
    return [next(iter(each)) for each in found.told]


def test_one_of_several_names_is_only_taken_off() -> None:
    found = images.removal(image(WEB, WEB2, digests=(AT,)), "web:1", force=False)
    assert found.names == (WEB,)
    assert told(found) == ["Untagged"]


def test_a_repositorys_digests_go_with_its_last_tag() -> None:
    assert images.removal(image(WEB, OTHER, digests=(AT,)), "web:1", force=False).names == (WEB, AT)


def test_the_last_name_takes_the_image_along() -> None:
    found = images.removal(image(WEB, digests=(AT,)), "web:1", force=False)
    assert found.names == (ID, WEB, AT)
    assert told(found) == ["Untagged", "Untagged", "Deleted"]


def test_an_identifier_takes_all_tags_of_one_repository() -> None:
    assert images.removal(image(WEB, WEB2), "abab", force=False).names == (ID, WEB, WEB2)


def test_an_image_of_several_repositories_is_removed_by_force_only() -> None:
    with pytest.raises(DockerError, match=r"must be forced.*multiple repositories"):
        images.removal(image(WEB, OTHER), ID, force=False)
    assert images.removal(image(WEB, OTHER), ID, force=True).names == (ID, WEB, OTHER)


def test_a_running_container_keeps_its_image() -> None:
    used = image(WEB, containers=(Container("c" * 64, running=True),))
    for force in (True, False):
        with pytest.raises(DockerError, match="is being used by running container cccccccccccc"):
            images.removal(used, "web:1", force=force)


def test_a_container_that_has_ended_keeps_it_until_force() -> None:
    used = image(WEB, containers=(Container("c" * 64),))
    with pytest.raises(DockerError, match="unable to remove repository reference"):
        images.removal(used, "web:1", force=False)
    assert images.removal(used, "web:1", force=True).names == (ID, WEB)


@pytest.mark.parametrize(
    ("filters", "there"),
    [
        ({"reference": ("web",)}, True),
        ({"reference": ("w*:1",)}, True),
        ({"reference": ("*/web",)}, False),
        ({"dangling": ("true",)}, False),
        ({"label": ("a=b",)}, True),
        ({"until": ("24h",)}, True),
        ({"until": ("2026-01-01",)}, False),
        ({"since": ("web:1",)}, False),
    ],
)
def test_filters_choose(filters: dict[str, tuple[str, ...]], there: bool) -> None:
    now = 1767312000.0 + 2 * 86400
    assert bool(images.chosen([image(WEB)], Filters(filters), now)) is there


def test_pruning_takes_what_has_no_name_and_no_container() -> None:
    nameless, used = image(digests=(AT,)), image(containers=(Container("c"),))
    assert images.pruned([image(WEB), nameless, used], Filters({}), 0) == [nameless]
    assert images.pruned([image(WEB), used], Filters({"dangling": ("false",)}), 0) == [image(WEB)]


def test_history_gives_layers_to_the_steps_that_made_them() -> None:
    configuration = {
        "history": [{"created_by": "ADD"}, {"created_by": "CMD", "empty_layer": True}, {"created_by": "RUN"}]
    }
    found = images.history(image(WEB, configuration=configuration, layers=(Layer("x", 5), Layer("y", 7))))
    assert [(step["Id"], step["CreatedBy"], step["Size"]) for step in found] == [
        (ID, "RUN", 7),
        ("<missing>", "CMD", 0),
        ("<missing>", "ADD", 5),
    ]
