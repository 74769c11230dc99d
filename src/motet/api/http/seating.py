"""What a request is matched to a flow by, whether it takes seats at all, and how wide it is."""

from __future__ import annotations

from motet.api.flowcontrol.matching import Asked
from motet.api.http.calls import Call
from motet.api.http.streams import STREAMS

# A list takes a seat for each so many objects, and no list more seats than so many.
_PER_SEAT = 500
_WIDEST = 10
# Digits; nothing has more objects.
_LONGEST_LIMIT = 9


def asked(call: Call) -> Asked:
    """What a FlowSchema looks at."""
    target = call.target
    if not target.plural:
        return Asked(call.verb, path=target.path)
    resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    return Asked(call.verb, target.group, resource, target.namespace)


def takes_seats(call: Call) -> bool:
    """Not what stands for long and costs little."""
    subresource = call.target.subresource
    if subresource and (subresource in STREAMS or subresource.partition("/")[0] == "proxy"):
        return False
    return call.verb != "watch"


def width(call: Call, size: int) -> int:
    """Seats of a request that reads all of `size` objects, or as many as it limits itself to."""
    reads = min(_limit(call) or size, size)
    return min(_WIDEST, max(1, -(-reads // _PER_SEAT)))


def _limit(call: Call) -> int:
    """0 for none. One that is no number is refused later, when its author is known to be allowed to ask."""
    text = call.query.get("limit", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_LIMIT else 0
