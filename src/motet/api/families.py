"""Which families of addresses a Service is of: decided from what its sender says, what it was, and what the cluster has. Pure.

Follows Kubernetes "IPv4/IPv6 dual-stack": nobody gets or loses a family unasked, so a Service without a policy has one family
on creation and its former policy on an update; who leaves the policy `PreferDualStack` as it was keeps what he has, whatever
the cluster can do by now. A headless Service without a selector may name families that the cluster does not have, as its
endpoints are its author's.
"""

from __future__ import annotations

from collections.abc import Sequence

from motet.base.errors import FieldError, invalid
from motet.base.ip import IPV4, IPV6, family_of_text
from motet.kinds.kind import Json
from motet.kinds.service import HEADLESS

_SINGLE, _PREFER, _REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"


def settle(spec: Json, was: Json | None, available: Sequence[str]) -> list[FieldError]:
    """Fill in `ipFamilies` and `ipFamilyPolicy`, and trim what is released; why not, if that cannot be.

    `spec` is valid by itself and not of an ExternalName; `was` is the one that it replaces, None if there was none.
    `available` are the cluster's families, its default first.
    """
    if was is not None and _untouched(spec, was):
        return []
    free = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = (was or {}).get("ipFamilyPolicy") or (_REQUIRE if free else _SINGLE)
    errors = _released(spec, was) if was is not None else []
    errors += _more_than_one(spec) + _inferred(spec, available)
    if errors:
        return errors
    if not free and (errors := _missing(spec, available)):
        return errors
    if not spec.get("ipFamilies"):
        spec["ipFamilies"] = [available[0]]
    if spec["ipFamilyPolicy"] != _SINGLE and len(spec["ipFamilies"]) == 1 and (free or len(available) > 1):
        spec["ipFamilies"] = [*spec["ipFamilies"], IPV6 if spec["ipFamilies"][0] == IPV4 else IPV4]
    return []


def _untouched(spec: Json, was: Json) -> bool:
    keys = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
    return was.get("ipFamilyPolicy") == _PREFER and all(spec.get(key) == was.get(key) for key in keys)


def _released(spec: Json, was: Json) -> list[FieldError]:
    """To have one family only from now on is said by the policy; the rest follows."""
    errors = []
    for key, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, before = spec.get(key) or [], was.get(key) or []
        if spec["ipFamilyPolicy"] == _SINGLE:
            if now == before and len(now) > 1:
                spec[key] = now[:1]
        elif len(before) == 2 and len(now) == 1 and now[0] == before[0]:
            problem = f"must be 'SingleStack' to release the secondary {what}"
            errors.append(invalid("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], problem))
    return errors


def _more_than_one(spec: Json) -> list[FieldError]:
    if spec["ipFamilyPolicy"] != _SINGLE:
        return []
    return [
        invalid(
            "spec.ipFamilyPolicy",
            _SINGLE,
            f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified",
        )
        for key, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families"))
        if len(spec.get(key) or []) == 2
    ]


def _inferred(spec: Json, available: Sequence[str]) -> list[FieldError]:
    """Families that addresses say and nobody has named."""
    addresses, errors = spec.get("clusterIPs") or [], []
    for index, address in enumerate(addresses):
        if address == HEADLESS or index < len(spec.get("ipFamilies") or []):
            continue
        family = family_of_text(address)
        if family not in available:
            errors.append(
                invalid(f"spec.clusterIPs[{index}]", addresses, f"{family} is not configured on this cluster")
            )
        else:
            spec["ipFamilies"] = [*(spec.get("ipFamilies") or []), family]
    return errors


def _missing(spec: Json, available: Sequence[str]) -> list[FieldError]:
    errors = []
    if spec["ipFamilyPolicy"] == _REQUIRE and len(available) < 2:
        problem = "this cluster is not configured for dual-stack services"
        errors.append(invalid("spec.ipFamilyPolicy", _REQUIRE, problem))
    for index, family in enumerate(spec.get("ipFamilies") or []):
        if family not in available:
            errors.append(invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
    return errors
