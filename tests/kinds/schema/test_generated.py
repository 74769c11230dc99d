"""The shipped table is what the generator makes of its two inputs."""

import importlib.util
import sys
from importlib import resources
from pathlib import Path

import pytest

KUBECTL = Path(sys.executable).parent / "kubectl"
# Byte slices count as pointers in some sources: nil ones are not sent.
BYTES = {"caBundle", "request", "certificate", "verbs"}
GENERATOR = Path(__file__).parents[3] / "tools" / "generate_schema.py"


@pytest.fixture(scope="module")
def generator():
    pytest.importorskip("kubernetes_validate")
    spec = importlib.util.spec_from_file_location("generate_schema", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_up_to_date(generator):
    schema, numbers = generator.load_schema(), generator.load_numbers()
    made = [
        generator.definition_text(name, node, numbers) for name, node in schema.items() if name not in generator.SCALARS
    ]
    shipped = resources.files("motet.kinds.schema").joinpath("definitions.txt").read_text().splitlines()
    assert shipped == made, "run tools/generate_schema.py table"


@pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed in this environment")
def test_the_numbers_are_those_a_real_client_has(generator):
    numbers, checked = generator.load_numbers(), 0
    for message, member, number, _kind, repeated in generator.program_messages(KUBECTL.read_bytes()):
        known = numbers.get(message, {})
        if member in known:
            checked += 1
            assert known[member].rstrip("*") == number.rstrip("*"), (message, member)
            assert repeated or known[member] == number or member in BYTES, (message, member)
    assert checked > 2500


def test_no_number_is_given_twice_in_a_message(generator):
    for message, fields in generator.load_numbers().items():
        numbers = [number.rstrip("*") for number in fields.values()]
        assert len(numbers) == len(set(numbers)), message


def test_numbers_are_read_from_proto_files(generator):
    text = "package k8s.io.api.song.v1;\nmessage Song {\n  // words\n  optional string title = 1;\n  repeated Verse verses = 3;\n}\n"
    assert list(generator.proto_messages(text)) == [
        ("io.k8s.api.song.v1.Song", "title", "1", "io.k8s.api.song.v1.string", False),
        ("io.k8s.api.song.v1.Song", "verses", "3", "io.k8s.api.song.v1.Verse", True),
    ]
