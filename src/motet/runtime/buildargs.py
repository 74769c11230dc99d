"""Build arguments on their way to buildah: by its environment, which others on the machine cannot read, as they can a command.

`--build-arg NAME` without a value has buildah take it from there (buildah-build(1)); Debian 12's buildah knows no
`--build-arg-file`. Names by which buildah itself, its libraries or the programs it runs would be steered stay in the command.
"""

from __future__ import annotations

from collections.abc import Mapping

from motet.base.errors import BadRequest

_STEERING_NAMES = frozenset(
    {
        *("HOME", "LANG", "LANGUAGE", "LOGLEVEL", "PATH", "SHELL", "TMPDIR", "USER"),
        *("GOCOVERDIR", "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"),
        *("GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "NLSPATH", "RES_OPTIONS", "TZDIR"),
        *("DOCKER_CONFIG", "GNUPGHOME", "SOURCE_DATE_EPOCH"),
    }
)
_STEERING_BEGINNINGS = (
    *("BUILDAH_", "BUILD_REGISTRY_", "CONTAINER_", "CONTAINERS_", "MOTET_", "NETAVARK_", "REGISTRY_", "STORAGE_", "_"),
    *("DBUS_", "GLIBC_", "LC_", "LD_", "LISTEN_", "MALLOC_", "NOTIFY_", "SSL_CERT_", "XDG_"),
)


def passed(values: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """(options of `buildah build`, what goes into its environment). Raises BadRequest for what can be no argument."""
    options: list[str] = []
    environment: dict[str, str] = {}
    for name, value in values.items():
        if not name or "=" in name or "\0" in name + value:
            raise BadRequest(f"{name!r} cannot be a build argument")
        if name in _STEERING_NAMES or name.startswith(_STEERING_BEGINNINGS):
            options += ["--build-arg", f"{name}={value}"]
        else:
            options += ["--build-arg", name]
            environment[name] = value
    return options, environment
