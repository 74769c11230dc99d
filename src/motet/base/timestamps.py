"""Kubernetes' two timestamp forms: `Time` (whole seconds) and `MicroTime` (microseconds), both RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def format_time(instant: datetime) -> str:
    """`metav1.Time`: 2026-01-31T10:20:30Z."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def format_micro_time(instant: datetime) -> str:
    """`metav1.MicroTime`: 2026-01-31T10:20:30.123456Z."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """Read either form, any RFC 3339 offset, and up to nanoseconds (cut to microseconds). Raises ValueError."""
    body, fraction = text, ""
    if "." in text:
        body, rest = text.split(".", 1)
        digits = rest.rstrip("Zz")
        offset_at = max(digits.find("+"), digits.find("-"))
        offset = digits[offset_at:] if offset_at >= 0 else "+00:00"
        fraction = "." + (digits[:offset_at] if offset_at >= 0 else digits)[:6].ljust(6, "0")
        return datetime.fromisoformat(body + fraction + offset).astimezone(UTC)
    instant = datetime.fromisoformat(body)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; expected RFC 3339 such as 2026-01-31T10:20:30Z")
    return instant.astimezone(UTC)
