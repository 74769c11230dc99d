"""Read the struct types out of a Go program: package, name, and each field's tag, type and whether it is a pointer.

Go keeps this for reflection. The layout is that of internal/abi (Type, StructType, UncommonType, Name) on 64-bit
little-endian machines, in an ELF executable linked at fixed addresses.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

STRUCT, POINTER = 25, 22
_HAS_UNCOMMON = 1
_EXTRA_STAR = 2
_TYPE_SIZE = 48
_STRUCT_SIZE = _TYPE_SIZE + 32
_MANY_FIELDS = 400


@dataclass(frozen=True)
class GoField:
    """One field. `struct_type` is `package.Name` of the field's own type, behind a pointer or not, when that is a struct."""

    name: str
    tag: str
    embedded: bool
    pointer: bool
    struct_type: str


@dataclass(frozen=True)
class GoStruct:
    """One named struct type; `package` is the import path."""

    package: str
    name: str
    fields: tuple[GoField, ...]


class Program:
    """An ELF image and the section Go keeps its types in."""

    def __init__(self, image: bytes) -> None:
        self._image = image
        self._base, self._offset, self._size = self._rodata()

    def _rodata(self) -> tuple[int, int, int]:
        """Address, file offset and size of `.rodata`, which begins with the types."""
        image = self._image
        table, entry, count, names = struct.unpack_from("<Q", image, 0x28)[0], *struct.unpack_from("<HHH", image, 0x3A)
        sections = [struct.unpack_from("<IIQQQQ", image, table + index * entry) for index in range(count)]
        strings = sections[names][4]
        for name, _kind, _flags, address, offset, size in sections:
            if image[strings + name :].split(b"\0", 1)[0] == b".rodata":
                return address, offset, size
        raise ValueError("no .rodata section")

    def _at(self, address: int) -> int | None:
        """The file offset of an address inside the section."""
        inside = address - self._base
        return self._offset + inside if 0 <= inside < self._size else None

    def _varint(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self._image[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7

    def _name(self, address: int) -> tuple[str, str, bool] | None:
        """Name, tag and the embedded flag of an abi.Name."""
        at = self._at(address)
        if at is None:
            return None
        flags = self._image[at]
        size, start = self._varint(at + 1)
        if flags > 15 or size > 200 or start + size > self._offset + self._size:
            return None
        tag = b""
        if flags & 2:
            tag_size, tag_start = self._varint(start + size)
            tag = self._image[tag_start : tag_start + min(tag_size, 1000)]
        try:
            return self._image[start : start + size].decode(), tag.decode(), bool(flags & 8)
        except UnicodeDecodeError:
            return None

    def _identity(self, at: int) -> tuple[str, str] | None:
        """(package path, name) of the struct type at a file offset, when it has a name."""
        flags = self._image[at + 20]
        if not flags & _HAS_UNCOMMON:
            return None
        text = self._name(self._base + struct.unpack_from("<i", self._image, at + 40)[0])
        package = self._name(self._base + struct.unpack_from("<i", self._image, at + _STRUCT_SIZE)[0])
        if text is None or package is None:
            return None
        shown = text[0][1:] if flags & _EXTRA_STAR else text[0]
        return package[0], shown.rpartition(".")[2]

    def _field(self, at: int) -> GoField | None:
        name_at, type_at, _offset = struct.unpack_from("<QQQ", self._image, at)
        name, kind_at = self._name(name_at), self._at(type_at)
        if name is None or kind_at is None:
            return None
        kind = self._image[kind_at + 23] & 31
        pointer = kind == POINTER
        if pointer:
            element = self._at(struct.unpack_from("<Q", self._image, kind_at + _TYPE_SIZE)[0])
            if element is None:
                return None
            kind_at, kind = element, self._image[element + 23] & 31
        identity = self._identity(kind_at) if kind == STRUCT else None
        return GoField(name[0], name[1], name[2], pointer, ".".join(identity) if identity else "")

    def structs(self) -> Iterator[GoStruct]:
        """Every named struct type with fields."""
        end = self._offset + self._size - _STRUCT_SIZE - 16
        for at in range(self._offset, end, 8):
            if self._image[at + 23] & 31 != STRUCT:
                continue
            fields_at, count, capacity = struct.unpack_from("<QQQ", self._image, at + _TYPE_SIZE + 8)
            start = self._at(fields_at)
            if count != capacity or not 0 < count < _MANY_FIELDS or start is None:
                continue
            found = self._read(at, start, count)
            if found is not None:
                yield found

    def _read(self, at: int, start: int, count: int) -> GoStruct | None:
        identity = self._identity(at)
        if identity is None:
            return None
        fields = [self._field(start + 24 * index) for index in range(count)]
        known = tuple(field for field in fields if field is not None)
        return GoStruct(*identity, known) if len(known) == count else None
