"""What a network can be asked to be."""

from __future__ import annotations

from typing import Any

import pytest

from motet.dialects.docker import networks
from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.fields import Fields


def made(**asked: Any) -> dict[str, Any]:
    return networks.new_document(Fields({"Name": "back", "Driver": "overlay", **asked}), "default")


@pytest.mark.parametrize("said", [{}, {"EnableIPv4": None}, {"EnableIPv4": True}, {"CheckDuplicate": True}])
def test_addresses_are_ipv4_without_a_word(said: dict[str, Any]) -> None:
    assert made(**said) == made()


def test_a_network_without_ipv4_is_refused() -> None:
    with pytest.raises(DockerError, match="EnableIPv4 is not supported by Motet: whether pods have IPv4"):
        made(EnableIPv4=False)
