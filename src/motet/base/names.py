"""Names: what may be one, and how to make one up (Kubernetes "Object Names and IDs"; RFC 1035, RFC 1123)."""

from __future__ import annotations

import re
import secrets

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_PORT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

LABEL_MESSAGE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_1035_MESSAGE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)

# No vowels and no digits that look like letters: a made-up suffix never spells a word.
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_MAX_GENERATED_BASE = 63 - _SUFFIX_LENGTH


def label_error(text: str) -> str:
    """Why `text` is not an RFC 1123 label, or an empty string when it is."""
    if len(text) > 63:
        return "must be no more than 63 characters"
    return "" if _LABEL.fullmatch(text) else LABEL_MESSAGE


def subdomain_error(text: str) -> str:
    """Why `text` is not an RFC 1123 subdomain, or an empty string when it is."""
    if len(text) > 253:
        return "must be no more than 253 characters"
    return "" if _SUBDOMAIN.fullmatch(text) else SUBDOMAIN_MESSAGE


def label_1035_error(text: str) -> str:
    """Why `text` is not an RFC 1035 label, or an empty string when it is."""
    if len(text) > 63:
        return "must be no more than 63 characters"
    return "" if _LABEL_1035.fullmatch(text) else LABEL_1035_MESSAGE


def qualified_name_error(text: str) -> str:
    """Why `text` is not a label or annotation key ([prefix/]name), or an empty string when it is."""
    prefix, slash, name = text.rpartition("/")
    if slash and (problem := subdomain_error(prefix)):
        return f"prefix part {problem}" if prefix else "prefix part must be non-empty"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    if not _QUALIFIED_NAME.fullmatch(name):
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
    return ""


def label_value_error(text: str) -> str:
    """Why `text` is not a label value, or an empty string when it is."""
    if len(text) > 63:
        return "must be no more than 63 characters"
    if not _LABEL_VALUE.fullmatch(text):
        return (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
            "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    return ""


def port_name_error(text: str) -> str:
    """Why `text` is not an IANA service name (RFC 6335), or an empty string when it is."""
    if len(text) > 15:
        return "must be no more than 15 characters"
    if not _PORT_NAME.fullmatch(text):
        return (
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
            if re.search(r"[^a-z0-9-]", text)
            else "must not begin or end with a hyphen"
        )
    if not re.search(r"[a-z]", text):
        return "must contain at least one letter (a-z)"
    return "must not contain consecutive hyphens" if "--" in text else ""


def segment_error(text: str) -> str:
    """Why `text` does not fit into one segment of a path, or an empty string when it does."""
    if text in (".", ".."):
        return f"may not be '{text}'"
    return next((f"may not contain '{bad}'" for bad in "/%" if bad in text), "")


def generate(base: str) -> str:
    """`metadata.generateName` made whole: the base, cut to fit a label, and five random characters."""
    return base[:_MAX_GENERATED_BASE] + suffix()


def suffix(length: int = _SUFFIX_LENGTH) -> str:
    """Random characters that are safe in any name and never spell a word."""
    return "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(length))
