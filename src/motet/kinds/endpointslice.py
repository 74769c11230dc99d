"""Endpoint slices: where the pods behind a service are."""

from __future__ import annotations

from motet.kinds.kind import Kind

KIND = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    singular="endpointslice",
    schema="io.k8s.api.discovery.v1.EndpointSlice",
)
