"""What the two kinds of bindings share: a role, and the subjects that have it."""

from __future__ import annotations

from collections.abc import Callable

from motet.base import names
from motet.base.errors import FieldError, invalid, required, unsupported
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column
from motet.kinds.kind import Column, Json
from motet.kinds.rbac import GROUP
from motet.kinds.shape import each, fill_empty, mapping, objects, text

ACCOUNT, USER, GROUP_KIND = "ServiceAccount", "User", "Group"


def default(document: Json) -> None:
    """API groups that go without saying."""
    if isinstance(document.get("roleRef"), dict):
        fill_empty(document["roleRef"], "apiGroup", GROUP)
    each(document, "subjects", _default_subject)


def _default_subject(subject: Json) -> None:
    if subject.get("kind") in (USER, GROUP_KIND):
        fill_empty(subject, "apiGroup", GROUP)


def validator(roles: tuple[str, ...], *, namespaced: bool) -> Callable[[Json, Json | None], list[FieldError]]:
    """The rules of bindings to roles of these kinds."""

    def validate(document: Json, old: Json | None) -> list[FieldError]:
        ref = mapping(document, "roleRef")
        errors = []
        if text(ref, "apiGroup") != GROUP:
            errors.append(unsupported("roleRef.apiGroup", text(ref, "apiGroup"), (GROUP,)))
        if text(ref, "kind") not in roles:
            errors.append(unsupported("roleRef.kind", text(ref, "kind"), roles))
        errors += checks.named("roleRef.name", text(ref, "name"), names.segment_error)
        for index, subject in enumerate(objects(document, "subjects")):
            errors += _subject(subject, f"subjects[{index}]", namespaced=namespaced)
        if old is not None and mapping(old, "roleRef") != ref:
            errors.append(invalid("roleRef", ref, "cannot change roleRef"))
        return errors

    return validate


def _subject(subject: Json, path: str, *, namespaced: bool) -> list[FieldError]:
    kind, name, group = (text(subject, key) for key in ("kind", "name", "apiGroup"))
    errors = [] if name else [required(f"{path}.name")]
    match kind:
        case "ServiceAccount":
            errors += checks.named(f"{path}.name", name, names.subdomain_error, needed=False)
            if group:
                errors.append(unsupported(f"{path}.apiGroup", group, ("",)))
            if not namespaced and not text(subject, "namespace"):
                errors.append(required(f"{path}.namespace"))
        case "User" | "Group":
            if group != GROUP:
                errors.append(unsupported(f"{path}.apiGroup", group, (GROUP,)))
        case _:
            errors.append(unsupported(f"{path}.kind", kind, (ACCOUNT, USER, GROUP_KIND)))
    return errors


def _role(document: Json) -> str:
    return f"{text(document, 'roleRef', 'kind')}/{text(document, 'roleRef', 'name')}"


def _subjects(kind: str) -> Callable[[Json], str]:
    def cell(document: Json) -> str:
        found = [subject for subject in objects(document, "subjects") if text(subject, "kind") == kind]
        if kind == ACCOUNT:
            return ", ".join(f"{text(subject, 'namespace')}/{text(subject, 'name')}" for subject in found)
        return ", ".join(text(subject, "name") for subject in found)

    return cell


COLUMNS: tuple[Column, ...] = (
    NAME,
    column("Role", _role, about="The role that is bound."),
    AGE,
    column("Users", _subjects(USER), wide=True, about="Users who have the role."),
    column("Groups", _subjects(GROUP_KIND), wide=True, about="Groups that have the role."),
    column("ServiceAccounts", _subjects(ACCOUNT), wide=True, about="Service accounts that have the role."),
)
