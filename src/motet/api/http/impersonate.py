"""Acting as somebody else (Kubernetes "User impersonation"): each part of the other identity has to be allowed."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from motet.api.attributes import Attributes
from motet.api.http.authorize import Authorizer, refusal
from motet.api.users import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User
from motet.base.errors import BadRequest
from motet.identity.accounts import ALL_ACCOUNTS, USER_PREFIX

_USER, _GROUP, _UID, _EXTRA = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-"
_AUTHENTICATION = "authentication.k8s.io"


def acting(user: User, headers: CIMultiDictProxy[str], authorizer: Authorizer) -> User:
    """Whom a request is made as: the user, or the one its headers name. Raises BadRequest, Forbidden."""
    name = headers.get(_USER, "")
    groups = tuple(dict.fromkeys(headers.getall(_GROUP, ())))
    uid = headers.get(_UID, "")
    extra = _extra(headers)
    if not name:
        if groups or uid or extra:
            raise BadRequest(f"a group, uid or extra to impersonate was given without {_USER}")
        return user
    for asked in _questions(name, groups, uid, extra):
        decision = authorizer.decide(user, asked)
        if not decision.allowed:
            raise refusal(user, asked, decision.reason)
    return User(name, _all_groups(name, groups), uid, extra)


def _extra(headers: CIMultiDictProxy[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        if header.lower().startswith(_EXTRA.lower()):
            key = unquote(header[len(_EXTRA) :]).lower()
            found[key] = (*found.get(key, ()), value)
    return found


def _questions(name: str, groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]) -> Iterator[Attributes]:
    account = _account(name)
    if account is not None:
        yield Attributes("impersonate", resource="serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield Attributes("impersonate", resource="users", name=name)
    for group in groups:
        yield Attributes("impersonate", resource="groups", name=group)
    if uid:
        yield Attributes("impersonate", _AUTHENTICATION, "uids", name=uid)
    for key, values in extra.items():
        for value in values:
            yield Attributes("impersonate", _AUTHENTICATION, "userextras", key, name=value)


def _account(name: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name."""
    namespace, colon, account = name.removeprefix(USER_PREFIX).partition(":")
    return (namespace, account) if name.startswith(USER_PREFIX) and colon and account else None


def _all_groups(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """With those that go without saying: an account's, when no group was named; and that of everybody who is known."""
    account = _account(name)
    if account is not None and not groups:
        groups = (ALL_ACCOUNTS, f"{ALL_ACCOUNTS}:{account[0]}")
    if name == ANONYMOUS or UNAUTHENTICATED in groups:
        return tuple(dict.fromkeys((*groups, UNAUTHENTICATED)))
    return tuple(dict.fromkeys((*groups, AUTHENTICATED)))
