import grpc
import grpc.aio
import pytest

from motet.runtime import channel
from motet.runtime.interface import ImageNotFound, NoSuchContainer, RuntimeFailure, RuntimeUnavailable


def rpc_error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (grpc.StatusCode.NOT_FOUND, NoSuchContainer, "NotFound"),
        (grpc.StatusCode.UNAVAILABLE, RuntimeUnavailable, "RuntimeError"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, RuntimeFailure, "DeadlineExceeded"),
        (grpc.StatusCode.UNIMPLEMENTED, RuntimeFailure, "Unimplemented"),
        (grpc.StatusCode.UNKNOWN, RuntimeFailure, "RuntimeError"),
    ],
)
def test_a_failed_call_becomes_our_own_error(code, kind, reason):
    error = channel.failure(rpc_error(code, "details here"), "start container c1")
    assert type(error) is kind
    assert error.reason == reason
    assert "start container c1" in str(error)
    assert "details here" in str(error)


@pytest.mark.parametrize(
    ("code", "details", "kind", "reason", "words"),
    [
        (grpc.StatusCode.NOT_FOUND, "x/y:1: not found", ImageNotFound, "ErrImagePull", "does not have it"),
        (
            grpc.StatusCode.UNKNOWN,
            "pull access denied, repository does not exist or may require authorization",
            ImageNotFound,
            "ErrImagePull",
            "credentials",
        ),
        (grpc.StatusCode.UNKNOWN, "unexpected status: 401 Unauthorized", ImageNotFound, "ErrImagePull", "credentials"),
        (
            grpc.StatusCode.UNKNOWN,
            "dial tcp: lookup registry.example: no such host",
            RuntimeFailure,
            "RegistryUnavailable",
            "cannot be reached",
        ),
        (
            grpc.StatusCode.UNKNOWN,
            "dial tcp 10.0.0.1:443: connect: connection refused",
            RuntimeFailure,
            "RegistryUnavailable",
            "cannot be reached",
        ),
        (grpc.StatusCode.UNKNOWN, "no space left on device", RuntimeFailure, "ErrImagePull", "no space left"),
        (grpc.StatusCode.UNAVAILABLE, "connect: no such file", RuntimeUnavailable, "RuntimeError", "does not answer"),
    ],
)
def test_a_failed_pull_says_which_of_the_usual_causes_it_was(code, details, kind, reason, words):
    error = channel.pull_failure(rpc_error(code, details), "x/y:1")
    assert type(error) is kind
    assert error.reason == reason
    assert words in str(error)


@pytest.mark.parametrize("digest_part", ["401", "404", "eof"])
def test_a_digest_in_the_details_is_not_mistaken_for_a_status(digest_part):
    reference = f"x/y@sha256:{digest_part * 22}"
    error = channel.pull_failure(rpc_error(grpc.StatusCode.UNKNOWN, f'pull "{reference}": no space left'), reference)
    assert error.reason == "ErrImagePull"
    assert type(error) is RuntimeFailure
