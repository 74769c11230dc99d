"""GPUs that a service reserves: `gpus`, and `deploy.resources.reservations.devices`.

They are counted as Docker's generic resource `gpu` is (`dialects/docker/generics`): a service is where as many are free. How
a program reaches them is not said by that; their device files are `devices`.
"""

from __future__ import annotations

from collections.abc import Iterator

from motet.cli.compose.source import Fields, Value, text

KIND = "gpu"
_DRIVERS = ("nvidia",)


def read(service: Fields, reservations: Fields | None) -> Iterator[tuple[Value, int]]:
    """(where it says so, how many), of every request."""
    if reservations is not None:
        for item in reservations.listed("devices"):
            yield from _one(reservations, item, said=True)
    at = service.get("gpus")
    if at is not None and not at.is_list:
        service.source.problem(at, f"{text(service.source, at)!r}: write how many, as in [{{count: 1}}]")
        return
    for item in service.listed("gpus"):
        yield from _one(service, item, said=False)


def _one(parent: Fields, at: Value, *, said: bool) -> Iterator[tuple[Value, int]]:
    """`said`: what is asked for has to be said; otherwise it is a GPU."""
    fields = Fields(parent.source, at)
    capabilities = fields.texts("capabilities")
    if capabilities != (KIND,) and (said or capabilities):
        fields.source.problem(fields.items.get("capabilities", at), f"only GPUs are counted; expected [{KIND}]")
    fields.choice("driver", _DRIVERS, "")
    if fields.text("count") in ("", "all", "-1"):
        fields.source.problem(fields.items.get("count", at), "expected `count`, how many; there is no asking for all")
    elif count := fields.number("count", least=1):
        yield at, count
    fields.finish()
