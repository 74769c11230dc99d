"""What a manager's writes go through, in this order; then come webhooks, and quotas last of all."""

from __future__ import annotations

from motet.api import certificates
from motet.api.admission import BUILT_IN, Plugin
from motet.api.attributes import Attributes
from motet.api.claimresizing import CLAIM_RESIZE
from motet.api.http.authorize import Authorizer
from motet.api.limitranges import LIMIT_RANGER
from motet.api.networks import NETWORKS
from motet.api.noderestriction import NODE_RESTRICTION
from motet.api.podsecurity.admission import POD_SECURITY
from motet.api.priority import PRIORITY
from motet.api.rbac import escalation
from motet.api.rbac.index import RbacIndex
from motet.api.runtimeclasses import RUNTIME_CLASS
from motet.api.serviceaccounts import SERVICE_ACCOUNTS
from motet.api.users import User
from motet.base.clock import Clock


def plugins(rbac: RbacIndex, authorizer: Authorizer, clock: Clock) -> tuple[Plugin, ...]:
    """All of them."""

    def may(user: User, asked: Attributes) -> bool:
        return authorizer.decide(user, asked).allowed

    return (
        *BUILT_IN,
        *SERVICE_ACCOUNTS,
        *NETWORKS,
        *PRIORITY,
        *RUNTIME_CLASS,
        *LIMIT_RANGER,
        *CLAIM_RESIZE,
        *NODE_RESTRICTION,
        *POD_SECURITY,
        *escalation.plugins(rbac, may),
        *certificates.plugins(may, clock),
    )
