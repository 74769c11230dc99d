"""What may stand in an APIService."""

from __future__ import annotations

from typing import Any

import pytest

from motet.kinds import apiservice


def made(name: str = "v1.example.com", **spec: Any) -> dict[str, Any]:
    service = {"namespace": "a", "name": "b"}
    wanted = {"group": "example.com", "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10}
    document = {"metadata": {"name": name}, "spec": {**wanted, "service": service, **spec}}
    apiservice.KIND.default(document)
    return document


def test_a_service_is_asked_on_port_443_unless_it_says() -> None:
    assert made()["spec"]["service"]["port"] == 443
    assert apiservice.validate(made(), None) == []


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"version": "v2"}, "metadata.name"),
        ({"groupPriorityMinimum": 20001}, "spec.groupPriorityMinimum"),
        ({"versionPriority": 0}, "spec.versionPriority"),
        ({"insecureSkipTLSVerify": True, "caBundle": "AA=="}, "spec.insecureSkipTLSVerify"),
        ({"service": None, "caBundle": "AA=="}, "spec.caBundle"),
        ({"service": {"name": "b", "port": 1}}, "spec.service.namespace"),
        ({"service": {"namespace": "a", "name": "b", "port": 0}}, "spec.service.port"),
    ],
)
def test_what_is_wrong_is_named(spec: dict[str, Any], path: str) -> None:
    assert [error.path for error in apiservice.validate(made(**spec), None)] == [path]


@pytest.mark.parametrize(("name", "group"), [("v1.", ""), ("v1.apiregistration.k8s.io", "apiregistration.k8s.io")])
def test_nobody_gives_away_what_could_not_be_taken_back(name: str, group: str) -> None:
    assert [error.path for error in apiservice.validate(made(name, group=group), None)] == ["spec.service"]
    assert apiservice.validate(made(name, group=group, service=None), None) == []
