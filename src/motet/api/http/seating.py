"""What a request is matched to a flow by, whether it takes seats at all, and how wide it is."""

from __future__ import annotations

from motet.api.flowcontrol.matching import Asked
from motet.api.http.calls import Call
from motet.api.http.parameters import flag
from motet.api.http.streams import STREAMS

# A list of this many objects takes one seat more, and no list more than so many.
_PER_SEAT = 500
_WIDEST = 10


def asked(call: Call) -> Asked:
    """What a FlowSchema looks at."""
    target = call.target
    if not target.plural:
        return Asked(call.verb, path=target.path)
    resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    return Asked(call.verb, target.group, resource, target.namespace)


def takes_seats(call: Call) -> bool:
    """Not what stands for long and costs little."""
    target = call.target
    if target.subresource and (target.subresource in STREAMS or target.subresource.partition("/")[0] == "proxy"):
        return False
    return not (target.watching or ("watch" in call.query and flag(call.query, "watch")))


def width(size: int) -> int:
    """Seats of a request that reads so many objects."""
    return min(_WIDEST, 1 + size // _PER_SEAT)


def reads_everything(call: Call) -> bool:
    """Whether a request is a list of all there is of a kind."""
    target = call.target
    return call.request.method == "GET" and bool(target.plural) and not target.name and "limit" not in call.query
