"""Who is too far away to be understood."""

from __future__ import annotations

import pytest

from motet.api.http import versions
from motet.base.errors import BadRequest


@pytest.mark.parametrize(
    "agent",
    [
        "motet-agent/0.4.9",
        "motet-agent/0.3.0",
        "motet-agent/0.5.1 (x)",
        "motet-agent",
        "kubectl/v1.9.0 (linux)",
        "",
        "motet-agent/x",
    ],
)
def test_one_minor_version_apart_works_and_strangers_are_not_asked(agent: str) -> None:
    versions.check(agent, "0.4.2")


@pytest.mark.parametrize(
    ("agent", "older"),
    [("motet-agent/0.2.7", "the node"), ("motet-join/0.6.0", "the manager"), ("motet-agent/1.4.0", "the manager")],
)
def test_two_minor_versions_apart_are_refused_in_words(agent: str, older: str) -> None:
    with pytest.raises(BadRequest, match=f"upgrade {older} first") as refused:
        versions.check(agent, "0.4.2")
    assert refused.value.reason == "VersionSkew"
    assert "0.4.2" in refused.value.message
