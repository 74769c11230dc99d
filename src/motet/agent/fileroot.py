"""A container's files as the whole world of this process, and hardly a right over them.

The process gets a copy of the container's mounts, which nobody else sees and which follows no change there. In the copy no device
can be opened, and there is no procfs, whose links lead to the roots of other processes: where a container shares the node's
processes, to the node's own. Then the process gives up every capability that reading and writing files does not need.

Follows namespaces(7), mount_setattr(2), capabilities(7). Linux 5.12 and later.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
from dataclasses import dataclass

_CLONE_NEWNS = 0x00020000
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV, _MOUNT_ATTR_NOEXEC = 0x2, 0x4, 0x8
_MS_PRIVATE = 1 << 18
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
# CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD: what tar needs to put files as they were.
_KEPT = (0, 1, 3, 4, 27)
_MOST_CAPABILITIES = 64
_OCTAL = re.compile(rb"\\([0-7]{3})")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Doors:
    """Open files of a container's first process: `/proc/PID/ns/mnt` and `/proc/PID/root`."""

    namespace: int
    root: int

    @classmethod
    def of(cls, pid: int) -> Doors:
        """Raises OSError."""
        namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return cls(namespace, os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except BaseException:
            os.close(namespace)
            raise

    def close(self) -> None:
        os.close(self.namespace)
        os.close(self.root)


def is_ours(doors: Doors) -> bool:
    """Whether they lead to where this process is already."""
    namespace, root = os.fstat(doors.namespace), os.fstat(doors.root)
    return os.path.samestat(namespace, os.stat("/proc/self/ns/mnt")) or os.path.samestat(root, os.stat("/"))


def enter(doors: Doors) -> None:
    """For good, and `doors` are closed after it. Raises OSError."""
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    _check(_libc.setns(doors.namespace, _CLONE_NEWNS), "setns")
    os.fchdir(doors.root)
    os.chroot(".")
    os.chdir("/")
    doors.close()
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    closed = _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV | _MOUNT_ATTR_NOEXEC
    attributes = struct.pack("=QQQQ", closed, 0, _MS_PRIVATE, 0)
    call = ctypes.c_long(_SYS_MOUNT_SETATTR)
    size = ctypes.c_size_t(len(attributes))
    _check(_libc.syscall(call, _AT_FDCWD, b"/", _AT_RECURSIVE, attributes, size), "mount_setattr")
    while (mounted := _first_procfs(proc)) is not None:
        _check(_libc.umount2(mounted, _MNT_DETACH | _UMOUNT_NOFOLLOW), "umount")
    os.close(proc)
    _give_up()


def _first_procfs(proc: int) -> bytes | None:
    """Where procfs is mounted below the root, outermost first; `proc` is the node's own."""
    file = os.open("self/mountinfo", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    with open(file, "rb") as lines:
        for line in lines:
            fields, _, source = line.partition(b" - ")
            if source.split(b" ", 1)[0] == b"proc":
                # Blanks and their like are written as three octal digits.
                return _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), fields.split()[4])
    return None


def _give_up() -> None:
    """Every capability but those that files need, from what can be had again, too."""
    for number in range(_MOST_CAPABILITIES):
        if number not in _KEPT and _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            # The kernel knows no more.
            break
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    kept = sum(1 << number for number in _KEPT)
    header = struct.pack("=II", _CAPABILITY_VERSION_3, 0)
    # (effective, permitted, inheritable) of the first 32, then of the rest.
    _check(_libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)), "capset")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
