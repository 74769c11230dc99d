from __future__ import annotations

from typing import Any

import pytest

from motet.controllers.appversion import kept_of, put_back, same, version_of
from motet.controllers.templates import template_hash

TEMPLATE: dict[str, Any] = {"spec": {"containers": [{"name": "c", "image": "i"}]}}


def test_a_plain_app_is_its_template() -> None:
    assert version_of({"template": TEMPLATE, "forceUpdate": 0}) == template_hash(TEMPLATE)


@pytest.mark.parametrize("more", [{"forceUpdate": 1}, {"expandTemplates": True}, {"hostnameTemplate": "a"}])
def test_what_makes_other_pods_makes_another_version(more: dict[str, Any]) -> None:
    assert version_of({"template": TEMPLATE, **more}) != version_of({"template": TEMPLATE})


@pytest.mark.parametrize(
    "more", [{"placement": {"constraints": ["node.role==worker"]}}, {"update": {}}, {"paused": True}]
)
def test_what_does_not_make_none(more: dict[str, Any]) -> None:
    assert version_of({"template": TEMPLATE, **more}) == version_of({"template": TEMPLATE})


def test_what_was_kept_is_put_back_and_nothing_else() -> None:
    before = {"mode": {"replicated": {"replicas": 1}}, "template": TEMPLATE, "forceUpdate": 2}
    now = {"mode": {"replicated": {"replicas": 5}}, "template": {}, "placement": {"maxReplicasPerNode": 1}}
    assert put_back(now, kept_of(before)) == {**before, "mode": now["mode"]}
    assert same(kept_of(before), kept_of({**before, "paused": True}))
