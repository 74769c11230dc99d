from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.network.lab import config

from motet.network.cni import port_of


def kept(folder: Path, content: str) -> Path:
    (folder / "motet-box1-eth0").write_text(content)
    return folder


def test_a_sandboxes_port_is_the_hosts_end_of_its_cable(tmp_path: Path) -> None:
    interfaces = [{"name": "motet0"}, {"name": "veth12"}, {"name": "eth0", "sandbox": "/run/netns/x"}]
    answer = {"kind": "cniCacheV1", "result": {"cniVersion": "0.4.0", "interfaces": interfaces}}
    assert port_of(config(tmp_path), "box1", kept(tmp_path, json.dumps(answer))) == "veth12"


@pytest.mark.parametrize("content", ["", "{}", '{"result": {"interfaces": [{"name": "motet0"}]}}'])
def test_what_cannot_be_read_is_no_port(tmp_path: Path, content: str) -> None:
    assert port_of(config(tmp_path), "box1", kept(tmp_path, content)) == ""
    assert port_of(config(tmp_path), "box2", tmp_path) == ""
