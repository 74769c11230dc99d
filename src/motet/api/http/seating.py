"""Where a request sits: its level, its flow and how wide it is."""

from __future__ import annotations

from motet.api.http.calls import Call
from motet.api.http.fairness import LEADERS, NODES, OTHERS, Flow
from motet.api.http.parameters import flag
from motet.api.http.streams import STREAMS
from motet.api.users import NODES as NODE_GROUP
from motet.kinds import lease

# A list of this many objects takes one seat more, and no list more than so many.
_PER_SEAT = 2000
_WIDEST = 8


def seat(call: Call, size: int = 0) -> tuple[str, Flow, int] | None:
    """Level, flow and seats of a request; None for what stands for long and costs little. `size`: what a list would read."""
    target = call.target
    if target.subresource and (target.subresource in STREAMS or target.subresource.partition("/")[0] == "proxy"):
        return None
    if target.watching or ("watch" in call.query and flag(call.query, "watch")):
        return None
    if NODE_GROUP in call.user.groups:
        return NODES, (call.user.name, ""), 1
    transport = call.request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    flow = (call.user.name, str(peer[0]) if peer else "")
    if (target.group, target.plural) == (lease.KIND.group, lease.KIND.plural):
        return LEADERS, flow, 1
    return OTHERS, flow, min(_WIDEST, 1 + size // _PER_SEAT)


def reads_everything(call: Call) -> bool:
    """Whether a request is a list of all there is of a kind."""
    target = call.target
    return call.request.method == "GET" and bool(target.plural) and not target.name and "limit" not in call.query
