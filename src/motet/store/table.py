"""PLACEHOLDER: the store room writes this."""

from __future__ import annotations


class Table: ...
