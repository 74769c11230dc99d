"""Which revision is the current one, what it holds, and which ones go."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import view

from motet.controllers import revisions
from motet.controllers.revisions import History, RevisionView
from motet.store.document import Meta

OWNER = Meta(name="web", namespace="default", uid="u", annotations={"kubernetes.io/change-cause": "why"})
HASH = "controller-revision-hash"


def template(image: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def decide(image: str, known: list[RevisionView], **options: Any) -> History:
    return revisions.decide(
        OWNER, builders.owner("DaemonSet", "web", "u"), template(image), known, hash_label=HASH, **options
    )


def stored(history: History) -> RevisionView:
    return view(RevisionView, msgspec.json.decode(msgspec.json.encode(history.create)))


def test_the_first_revision_holds_a_patch_that_puts_the_template_back() -> None:
    made = decide("v1", []).create
    assert made is not None
    assert made["revision"] == 1
    patch = made["data"]["spec"]["template"]
    assert patch.pop("$patch") == "replace"
    assert patch["metadata"] == {"creationTimestamp": None, "labels": {"app": "web"}}
    assert patch["spec"] == template("v1")["spec"]
    assert made["metadata"]["name"] == f"web-{made['metadata']['labels'][HASH]}"
    assert made["metadata"]["annotations"] == {"kubernetes.io/change-cause": "why"}


def test_the_same_template_is_found_again() -> None:
    first = stored(decide("v1", []))
    again = decide("v1", [first])
    assert (again.create, again.renumber, again.name) == (None, None, first.metadata.name)


def test_a_template_that_returns_keeps_its_name_and_becomes_the_newest() -> None:
    first = stored(decide("v1", []))
    second = stored(decide("v2", [first]))
    back = decide("v1", [first, second])
    assert (second.revision, back.renumber, back.number) == (2, 3, 3)
    assert back.name == first.metadata.name
    assert back.older == (second,)


def test_a_name_that_is_taken_counts_as_a_collision() -> None:
    taken = decide("v1", []).name
    other = decide("v1", [], taken=lambda name: name == taken)
    assert other.collisions == 1
    assert other.name != taken


def test_history_keeps_the_newest_and_what_pods_are_of() -> None:
    known: list[RevisionView] = []
    for number in range(1, 6):
        known.append(stored(decide(f"v{number}", known)))
    gone = revisions.surplus(known[:4], 2, {known[0].metadata.name}, lambda each: each.metadata.name)
    assert [each.revision for each in gone] == [2, 3]


@given(images=st.lists(st.sampled_from(["v1", "v2", "v3"]), min_size=1, max_size=8))
def test_law_the_current_one_is_always_the_newest_and_each_template_has_one(images: list[str]) -> None:
    known: dict[str, RevisionView] = {}
    for image in images:
        found = decide(image, list(known.values()))
        if found.create is not None:
            known[found.name] = stored(found)
        elif found.renumber is not None:
            known[found.name] = msgspec.structs.replace(known[found.name], revision=found.renumber)
        assert known[found.name].revision == max(each.revision for each in known.values()) == found.number
        assert decide(image, list(known.values())).renumber is None
    assert len(known) == len(set(images))
