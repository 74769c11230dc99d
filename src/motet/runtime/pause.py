"""The image every pod's sandbox runs: one static program that waits.

The sandbox's first process holds the pod's namespaces open. When containers share the process namespace it is also
their init: it must collect orphans, and it must go when told to, because the kernel delivers no unhandled signal to
the first process of a namespace. All of that is thirty machine instructions, so they are assembled here instead of
being downloaded or compiled: block three signals, wait for one of them, collect the dead on SIGCHLD, exit otherwise.

Encodings follow the Intel SDM volume 2 and the Arm ARM (A64); system call numbers are the kernel's; the file layout
is the ELF-64 specification's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import struct
import tarfile
from collections.abc import Iterable

from motet.runtime.interface import RuntimeFailure

REFERENCE = "localhost/motet/pause:1"

_SIGINT, _SIGTERM, _SIGCHLD = 2, 15, 17
_SIGNALS = struct.pack("<Q", sum(1 << (number - 1) for number in (_SIGINT, _SIGTERM, _SIGCHLD)))

# An instruction is bytes; a label is a string; a jump or an address is (opcode, label).
_X86_64: tuple[bytes | str | tuple[bytes, str], ...] = (
    b"\xb8\x0e\x00\x00\x00",  # mov eax, 14             rt_sigprocmask(
    b"\x31\xff",  # xor edi, edi                          SIG_BLOCK,
    (b"\x48\x8d\x35", "signals"),  # lea rsi, [rip+signals]              signals,
    b"\x31\xd2",  # xor edx, edx                          NULL,
    b"\x41\xba\x08\x00\x00\x00",  # mov r10d, 8             8)
    b"\x0f\x05",  # syscall
    "wait",
    b"\xb8\x80\x00\x00\x00",  # mov eax, 128            rt_sigtimedwait(
    (b"\x48\x8d\x3d", "signals"),  # lea rdi, [rip+signals]              signals,
    b"\x31\xf6",  # xor esi, esi                          NULL,
    b"\x31\xd2",  # xor edx, edx                          NULL,
    b"\x41\xba\x08\x00\x00\x00",  # mov r10d, 8             8)
    b"\x0f\x05",  # syscall
    b"\x83\xf8\x11",  # cmp eax, SIGCHLD
    (b"\x0f\x84", "reap"),  # je reap
    b"\x83\xf8\x0f",  # cmp eax, SIGTERM
    (b"\x0f\x84", "quit"),  # je quit
    b"\x83\xf8\x02",  # cmp eax, SIGINT
    (b"\x0f\x85", "wait"),  # jne wait                (a spurious return)
    "quit",
    b"\xb8\xe7\x00\x00\x00",  # mov eax, 231            exit_group(
    b"\x31\xff",  # xor edi, edi                          0)
    b"\x0f\x05",  # syscall
    "reap",
    b"\xb8\x3d\x00\x00\x00",  # mov eax, 61             wait4(
    b"\x48\xc7\xc7\xff\xff\xff\xff",  # mov rdi, -1             anyone,
    b"\x31\xf6",  # xor esi, esi                          NULL,
    b"\xba\x01\x00\x00\x00",  # mov edx, 1              WNOHANG,
    b"\x45\x31\xd2",  # xor r10d, r10d                        NULL)
    b"\x0f\x05",  # syscall
    b"\x85\xc0",  # test eax, eax
    (b"\x0f\x8f", "reap"),  # jg reap                 (there may be more)
    (b"\xe9", "wait"),  # jmp wait
    "signals",
    _SIGNALS,
)

# A word is an instruction; ("b", L), ("b.eq", L), ("b.ne", L), ("b.gt", L) and ("adr xN", L) refer to labels.
_AARCH64: tuple[int | str | tuple[str, str] | bytes, ...] = (
    0xD28010E8,  # mov x8, 135   rt_sigprocmask(
    0xD2800000,  # mov x0, 0       SIG_BLOCK,
    ("adr x1", "signals"),  #      signals,
    0xD2800002,  # mov x2, 0       NULL,
    0xD2800103,  # mov x3, 8       8)
    0xD4000001,  # svc 0
    "wait",
    0xD2801128,  # mov x8, 137   rt_sigtimedwait(
    ("adr x0", "signals"),  #      signals,
    0xD2800001,  # mov x1, 0       NULL,
    0xD2800002,  # mov x2, 0       NULL,
    0xD2800103,  # mov x3, 8       8)
    0xD4000001,  # svc 0
    0xF100441F,  # cmp x0, SIGCHLD
    ("b.eq", "reap"),
    0xF1003C1F,  # cmp x0, SIGTERM
    ("b.eq", "quit"),
    0xF100081F,  # cmp x0, SIGINT
    ("b.ne", "wait"),  # (a spurious return)
    "quit",
    0xD2800BC8,  # mov x8, 94    exit_group(
    0xD2800000,  # mov x0, 0       0)
    0xD4000001,  # svc 0
    "reap",
    0xD2802088,  # mov x8, 260   wait4(
    0x92800000,  # mov x0, -1      anyone,
    0xD2800001,  # mov x1, 0       NULL,
    0xD2800022,  # mov x2, 1       WNOHANG,
    0xD2800003,  # mov x3, 0       NULL)
    0xD4000001,  # svc 0
    0xF100001F,  # cmp x0, 0
    ("b.gt", "reap"),  # (there may be more)
    ("b", "wait"),
    "signals",
    _SIGNALS,
)


def _assemble_x86_64() -> bytes:
    """Two passes: place the labels, then fill in 32-bit displacements (counted from the next instruction)."""
    labels: dict[str, int] = {}
    offset = 0
    for item in _X86_64:
        if isinstance(item, str):
            labels[item] = offset
        else:
            offset += len(item) if isinstance(item, bytes) else len(item[0]) + 4
    code = bytearray()
    for item in _X86_64:
        if isinstance(item, bytes):
            code += item
        elif isinstance(item, tuple):
            opcode, label = item
            after = len(code) + len(opcode) + 4
            code += opcode + struct.pack("<i", labels[label] - after)
    return bytes(code)


_CONDITIONS = {"b.eq": 0x0, "b.ne": 0x1, "b.gt": 0xC}


def _a64_reference(operation: str, displacement: int) -> int:
    """The instruction word of a branch or ADR with a displacement in bytes from itself."""
    if operation == "b":
        return 0x14000000 | (displacement // 4 & 0x3FFFFFF)
    if operation in _CONDITIONS:
        return 0x54000000 | (displacement // 4 & 0x7FFFF) << 5 | _CONDITIONS[operation]
    register = int(operation.removeprefix("adr x"))
    return 0x10000000 | (displacement & 3) << 29 | (displacement >> 2 & 0x7FFFF) << 5 | register


def _assemble_aarch64() -> bytes:
    labels: dict[str, int] = {}
    offset = 0
    for item in _AARCH64:
        if isinstance(item, str):
            labels[item] = offset
        else:
            offset += len(item) if isinstance(item, bytes) else 4
    code = bytearray()
    for item in _AARCH64:
        if isinstance(item, bytes):
            code += item
        elif isinstance(item, int):
            code += struct.pack("<I", item)
        elif isinstance(item, tuple):
            code += struct.pack("<I", _a64_reference(item[0], labels[item[1]] - len(code)))
    return bytes(code)


# Go's name of the architecture -> (ELF e_machine, assembler)
_MACHINES = {"amd64": (62, _assemble_x86_64), "arm64": (183, _assemble_aarch64)}
_GO_NAMES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

_BASE = 0x400000
_HEADERS = 64 + 56


def architecture() -> str:
    """This machine's architecture as image configurations spell it (amd64, arm64, ...)."""
    machine = platform.machine().lower()
    return _GO_NAMES.get(machine, machine)


def program(arch: str) -> bytes:
    """The whole ELF file for `arch` (amd64 or arm64). Raises RuntimeFailure for any other."""
    if arch not in _MACHINES:
        raise RuntimeFailure(
            f"Motet has no pause program for the architecture {arch} (it has {', '.join(sorted(_MACHINES))}); "
            "name a pause image of your own in the node's configuration"
        )
    machine, assemble = _MACHINES[arch]
    code = assemble()
    size = _HEADERS + len(code)
    header = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 0),  # 64 bit, little endian, version 1, System V
        *(2, machine, 1, _BASE + _HEADERS, 64, 0),  # executable; entry point; program headers at 64; no sections
        *(0, 64, 56, 1, 0, 0, 0),
    )
    # One loadable segment, readable and executable, holding the whole file.
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code


def _tar(files: Iterable[tuple[str, bytes, int]]) -> bytes:
    """A reproducible tar of (name, content, mode)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content, mode in files:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def archive(arch: str = "", reference: str = REFERENCE) -> bytes:
    """An OCI image layout (image-spec 1.0) as a tar file, holding the pause image for `arch` (default: this machine's)."""
    arch = arch or architecture()
    layer = _tar([("pause", program(arch), 0o755)])
    blobs: dict[str, bytes] = {}

    def put(content: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    config = {
        "architecture": arch,
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [put(gzip.compress(layer, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    entry = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": reference}
    index = {"schemaVersion": 2, "manifests": [entry]}
    files = [
        ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}', 0o644),
        ("index.json", json.dumps(index).encode(), 0o644),
    ]
    files += [(f"blobs/sha256/{digest}", content, 0o644) for digest, content in blobs.items()]
    return _tar(files)
