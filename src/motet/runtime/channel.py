"""Where gRPC enters: one way to dial containerd's socket, one place where its errors become ours."""

from __future__ import annotations

import re
from typing import Any

import grpc
import grpc.aio

from motet.runtime.interface import ImageNotFound, NoSuchContainer, RuntimeFailure, RuntimeUnavailable

# ListContainers of a full node passes gRPC's 4 MB default.
_LARGEST_MESSAGE = 64 * 1024 * 1024


def dial(socket: str) -> Any:
    """A lazily connecting channel to the unix socket at path `socket`, quick to try again after a restart."""
    return grpc.aio.insecure_channel(
        f"unix://{socket}",
        options=(
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.default_authority", "localhost"),
            # Two channels to one address would share a connection and so each other's back-off.
            ("grpc.use_local_subchannel_pool", 1),
        ),
    )


def failure(error: grpc.aio.AioRpcError, doing: str, *, missing: type[RuntimeFailure] = NoSuchContainer) -> Exception:
    """Our exception for a failed call. `doing` says what was tried (`start container abc`)."""
    code, details = error.code(), (error.details() or "").strip()
    if code == grpc.StatusCode.NOT_FOUND:
        return missing(f"cannot {doing}: {details}", "NotFound")
    # CRI answers so while it reads its state after a start.
    starting = "server is not initialized yet" in details
    if starting or code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return RuntimeUnavailable(f"cannot {doing}: the container runtime does not answer ({details})")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return RuntimeFailure(f"cannot {doing}: no answer in time ({details})", "DeadlineExceeded")
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return RuntimeFailure(f"cannot {doing}: this container runtime does not offer it ({details})", "Unimplemented")
    return RuntimeFailure(f"cannot {doing}: {details}")


# Registries answer in many words; these are the ones containerd passes on, tried in this order.
_PULL_COMPLAINTS = (
    (
        "unauthorized",
        re.compile(r"unauthorized|authorization failed|pull access denied|403 forbidden|no basic auth", re.IGNORECASE),
    ),
    (
        "unreachable",
        re.compile(
            r"no such host|connection refused|i/o timeout|network is unreachable|no route to host|connection reset"
            r"|tls handshake|x509:|server gave http response|name resolution|server misbehaving|deadline exceeded"
            r"|\bEOF\b|internal server error|bad gateway|service unavailable|gateway time-?out",
            re.IGNORECASE,
        ),
    ),
    ("missing", re.compile(r"not found|manifest unknown|no match for platform", re.IGNORECASE)),
)


def pull_failure(error: grpc.aio.AioRpcError, reference: str) -> Exception:
    """Our exception for a failed pull, saying which of the usual causes it was."""
    details = (error.details() or "").strip()
    if error.code() == grpc.StatusCode.UNAVAILABLE and "failed to pull" not in details:
        return failure(error, f"pull image {reference}")
    # The image's own name may hold any of the words.
    told = re.sub(r"sha256:[0-9a-f]+", "", details.replace(reference, ""))
    cause = next((cause for cause, words in _PULL_COMPLAINTS if words.search(told)), "")
    if error.code() == grpc.StatusCode.NOT_FOUND and cause != "unauthorized":
        cause = "missing"
    if cause == "unauthorized":
        return ImageNotFound(
            f"cannot pull image {reference}: the registry refused (wrong or missing credentials, "
            f"or no such repository): {details}",
            "ErrImagePull",
        )
    if cause == "missing":
        return ImageNotFound(f"cannot pull image {reference}: the registry does not have it: {details}", "ErrImagePull")
    if cause == "unreachable":
        return RuntimeFailure(
            f"cannot pull image {reference}: the registry cannot be reached: {details}", "RegistryUnavailable"
        )
    if error.code() == grpc.StatusCode.INVALID_ARGUMENT or "invalid reference" in told:
        return RuntimeFailure(f"cannot pull image {reference}: not an image reference: {details}", "InvalidImageName")
    return RuntimeFailure(f"cannot pull image {reference}: {details}", "ErrImagePull")
