"""Another root, step by step, and torn between any two files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from motet.identity import rotation
from motet.identity.authority import Authority, CurrentAuthority
from motet.identity.rotation import Stage


def test_each_step_says_where_it_stands_and_whom_to_trust(tmp_path: Path) -> None:
    old = Authority.create(tmp_path)
    current = CurrentAuthority(tmp_path)
    assert (rotation.stage(tmp_path), current().bundle) == (Stage.NONE, old.pem)
    rotation.prepare(tmp_path)
    assert rotation.stage(tmp_path) is Stage.PREPARED
    new = Authority.load(tmp_path / "next")
    assert (current().pem, current().bundle) == (old.pem, old.pem + new.pem)
    rotation.switch(tmp_path)
    assert rotation.stage(tmp_path) is Stage.SWITCHED
    assert (current().pem, current().bundle) == (new.pem, new.pem + old.pem)
    rotation.finish(tmp_path)
    assert (rotation.stage(tmp_path), current().bundle) == (Stage.NONE, new.pem)
    assert not (tmp_path / "next").exists()


class Torn(Exception):
    """The machine stopped here."""


@pytest.mark.parametrize("writes", range(4))
def test_a_switch_that_was_torn_is_completed(tmp_path: Path, writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    Authority.create(tmp_path)
    rotation.prepare(tmp_path)
    new = Authority.load(tmp_path / "next")
    left = writes
    write: Callable[..., None] = rotation.write_atomically

    def tearing(path: Path, content: bytes, *, mode: int = 0o600) -> None:
        nonlocal left
        if not left:
            raise Torn
        left -= 1
        write(path, content, mode=mode)

    with monkeypatch.context() as patched:
        patched.setattr(rotation, "write_atomically", tearing)
        if writes < 3:
            with pytest.raises(Torn):
                rotation.switch(tmp_path)
        else:
            patched.setattr(Path, "unlink", lambda path: (_ for _ in ()).throw(Torn))
            with pytest.raises(Torn):
                rotation.switch(tmp_path)
    rotation.repair(tmp_path)
    if rotation.stage(tmp_path) is Stage.PREPARED:
        rotation.switch(tmp_path)
    assert Authority.load(tmp_path).pem == new.pem
    assert rotation.stage(tmp_path) is Stage.SWITCHED


def test_the_root_of_the_front_proxy_changes_along(tmp_path: Path) -> None:
    front, own = rotation.roots(tmp_path)
    before = [Authority.create(front, cluster=rotation.FRONT_PROXY_NAME), Authority.create(own)]
    rotation.prepare(front, rotation.FRONT_PROXY_NAME)  # the machine stopped between the two
    rotation.prepare_all(tmp_path)
    assert [rotation.stage(each) for each in (front, own)] == [Stage.PREPARED] * 2
    rotation.switch(front)
    rotation.switch_all(tmp_path)
    after = [Authority.load(each) for each in (front, own)]
    for old, new in zip(before, after, strict=True):
        assert new.pem != old.pem
        assert new.bundle == new.pem + old.pem
    rotation.finish_all(tmp_path)
    assert [Authority.load(each).bundle for each in (front, own)] == [each.pem for each in after]
