"""Ports that somebody has already."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from motet.cli.apply.ports import Port, conflicts, taken, taken_here
from motet.store.document import Document, encode
from support.compose_world import compose

FILE = 'services: {web: {image: x, ports: ["8080:80", "127.0.0.1:9000:9", "81"]}}'


def found(tmp_path: Path, *in_cluster: tuple[Port, str, str], here: dict[Port, str] | None = None) -> list[str]:
    return conflicts(compose(tmp_path, FILE), in_cluster, here or {})


def test_free_ports_are_no_conflict(tmp_path: Path) -> None:
    assert found(tmp_path, (Port("TCP", 80), "other", "web-published"), (Port("UDP", 8080), "other", "x")) == []


def test_another_projects_service_is_named(tmp_path: Path) -> None:
    assert found(tmp_path, (Port("TCP", 8080), "blog", "front-published")) == [
        "port 8080/tcp, which web publishes, is taken by service front of blog"
    ]


def test_the_projects_own_ports_are_its_own_even_if_a_process_serves_them(tmp_path: Path) -> None:
    here = {Port("TCP", 8080): "motet"}
    assert found(tmp_path, (Port("TCP", 8080), "shop", "web-published"), here=here) == []


def test_a_process_of_this_machine_is_named(tmp_path: Path) -> None:
    assert found(tmp_path, here={Port("TCP", 8080): "nginx (process 812)"}) == [
        "port 8080/tcp, which web publishes, is taken on this machine by nginx (process 812)"
    ]


@pytest.mark.parametrize(("address", "conflict"), [("127.0.0.1", True), ("", True), ("192.0.2.9", False)])
def test_ports_on_one_address_meet_only_there(tmp_path: Path, address: str, conflict: bool) -> None:
    assert bool(found(tmp_path, (Port("TCP", 9000, address), "other", "x"))) is conflict


def test_two_services_of_the_file_cannot_publish_the_same_port(tmp_path: Path) -> None:
    text = 'services: {a: {image: x, ports: ["80:1"]}, b: {image: x, ports: ["0.0.0.0:80:2"]}}'
    assert conflicts(compose(tmp_path, text), (), {}) == ["port 80/tcp is published by both a and b"]


def test_what_the_cluster_publishes_is_seen() -> None:
    def document(resource: str, spec: object) -> Document:
        return Document.stored(f"{resource}/ns/x", encode({"metadata": {"name": "x"}, "spec": spec}), 1)

    services = [
        document("core/services", {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30001}]}),
        document("core/services", {"type": "NodePort", "ports": [{"port": 81, "nodePort": 30002, "protocol": "UDP"}]}),
        document("core/services", {"ports": [{"port": 82}]}),
    ]
    pod = {
        "containers": [{"ports": [{"containerPort": 1, "hostPort": 83, "hostIP": "127.0.0.1"}, {"containerPort": 2}]}]
    }
    assert [port for port, _, _ in taken(services, [document("core/pods", pod)])] == [
        Port("TCP", 80),
        Port("TCP", 30001),
        Port("UDP", 30002),
        Port("TCP", 83, "127.0.0.1"),
    ]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_listening_process_is_found_by_its_port(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            listener.listen()
        port = Port("TCP" if kind is socket.SOCK_STREAM else "UDP", listener.getsockname()[1])
        (owner,) = taken_here([port]).values()
        assert f"(process {os.getpid()})" in owner
    assert taken_here([port]) == {}
