import struct

import pytest

from motet.runtime import pause
from motet.runtime.interface import RuntimeFailure


@pytest.mark.parametrize(("arch", "machine"), [("amd64", 62), ("arm64", 183)])
def test_the_program_is_a_small_static_executable(arch, machine):
    program = pause.program(arch)
    assert len(program) < 300
    assert program[:6] == b"\x7fELF\x02\x01"
    kind, of_machine, _, entry, segments_at = struct.unpack_from("<HHIQQ", program, 16)
    assert (kind, of_machine, segments_at) == (2, machine, 64)
    _, flags, _, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", program, 64)
    assert flags == 5
    assert size == len(program)
    assert entry - address == 120


def test_an_architecture_without_a_program_is_refused_by_name():
    with pytest.raises(RuntimeFailure, match="riscv64"):
        pause.program("riscv64")


def test_the_image_is_the_same_bytes_every_time():
    assert pause.archive("amd64") == pause.archive("amd64")
    assert pause.archive("amd64") != pause.archive("arm64")
