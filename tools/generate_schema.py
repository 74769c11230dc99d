"""Make `src/motet/kinds/schema/definitions.txt`, the table of facts per field, from public facts about the API.

Two inputs: the JSON Schema of the newest release in the `kubernetes-validate` package (names, types, merge keys, list
types), and `tools/wire_numbers.txt`, which holds the protobuf field numbers (the schema does not have them).

    python tools/generate_schema.py table                 # rewrite the table
    python tools/generate_schema.py numbers INPUT ...     # add numbers to wire_numbers.txt

An input of `numbers` is a Go program built against the API, such as the kubectl of the development dependencies, whose
types carry their numbers for reflection, or a `generated.proto` of the public API (for what kubectl does not contain:
apiextensions and apiregistration). A number once in the file is never changed: the wire format does not either.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import go_structs  # noqa: E402 - a neighbour of this script, not a package

NUMBERS = ROOT / "tools" / "wire_numbers.txt"
TABLE = ROOT / "src" / "motet" / "kinds" / "schema" / "definitions.txt"

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    META + "Time": "time",
    META + "MicroTime": "microtime",
}
# Definitions without members that hold any JSON (the others without members are empty structs).
ANYTHING = re.compile(r"\.(RawExtension|FieldsV1|Patch|JSON|JSONSchemaPropsOr\w+)$")
# List keys that upstream defaults, so that an item without them still has an identity.
DEFAULTS = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
}
Numbers = dict[str, dict[str, str]]


def load_schema() -> dict[str, Any]:
    """The definitions of the newest release the package has, by name."""
    base = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    names = [entry.name for entry in base.iterdir() if re.fullmatch(r"v1\.\d+\.\d+-local", entry.name)]
    newest = max(names, key=lambda name: int(name.split(".")[1]))
    definitions: dict[str, Any] = json.loads((base / newest / "_definitions.json").read_text())["$defs"]
    return definitions


def load_numbers() -> Numbers:
    """Definition -> member -> wire path. A `>Name=2` entry says message Name is embedded there under number 2."""
    numbers: Numbers = {}
    if NUMBERS.exists():
        for line in NUMBERS.read_text().splitlines():
            if line and not line.startswith("#"):
                name, *pairs = line.split()
                numbers[name] = dict(pair.split("=") for pair in pairs)
    return numbers


def save_numbers(numbers: Numbers) -> None:
    header = (
        "# Protobuf field numbers of the Kubernetes API's messages. Message, then member=number; a member that Go\n"
        "# embeds (its members appear in the JSON of the parent) is written >Message=number. A `*` marks members that are\n"
        "# pointers in Go: when sent, they are meant even if zero; the others are always sent.\n"
    )
    lines = [
        name + "".join(f" {field}={number}" for field, number in sorted(fields.items(), key=_by_number))
        for name, fields in sorted(numbers.items())
    ]
    NUMBERS.write_text(header + "\n".join(lines) + "\n")


def _by_number(item: tuple[str, str]) -> tuple[int, str]:
    return int(item[1].rstrip("*")), item[0]


def proto_messages(text: str) -> Iterator[tuple[str, str, str, str, bool]]:
    """(message, member, number, type, repeated) of a .proto file as Kubernetes generates them: no nesting, one a line.

    These files do not say which members are pointers in Go; the `*` of those is added by hand.
    """
    package = re.search(r"^package ([\w.]+);", text, re.M)
    prefix = _json_name(package[1]) if package else ""
    message = ""
    for line in text.splitlines():
        if found := re.match(r"message (\w+) {", line):
            message = f"{prefix}.{found[1]}"
        elif found := re.match(r"\s+(optional|repeated|map)\s*(<.*>|[\w.]+) (\w+) = (\d+);", line):
            kind = found[2].lstrip(".")
            kind = _json_name(kind) if kind.startswith("k8s.io.") else f"{prefix}.{kind}"
            yield message, found[3], found[4], kind, found[1] != "optional"


def program_messages(image: bytes) -> Iterator[tuple[str, str, str, str, bool]]:
    """The same from a Go program, whose structs' tags have the numbers, with the `*` of pointers."""
    for found in go_structs.Program(image).structs():
        if not found.package.startswith("k8s.io/"):
            continue
        message = _json_name(f"{found.package}.{found.name}".replace("/", "."))
        for field in found.fields:
            tag = re.search(r'protobuf:"\w+,(\d+),(\w+)', field.tag)
            json_tag = re.search(r'json:"([^",]*)', field.tag)
            if tag and json_tag and json_tag[1] != "-":
                kind = _json_name(field.struct_type.replace("/", "."))
                yield message, json_tag[1] or field.name, tag[1] + "*" * field.pointer, kind, tag[2] == "rep"


def read_numbers(inputs: list[str]) -> None:
    """Add to the numbers file what the inputs say. The schema tells embedded messages from members."""
    schema, numbers = load_schema(), load_numbers()
    for source in inputs:
        path = Path(source)
        found = proto_messages(path.read_text()) if path.suffix == ".proto" else program_messages(path.read_bytes())
        for message, member, number, kind, repeated in found:
            known = schema.get(message, {}).get("properties")
            label = member
            if known is not None and member not in known:
                alike = [name for name in known if name.lower().lstrip("$") == member.lower()]
                if alike:
                    label = alike[0]
                elif not repeated and kind.startswith("io.k8s."):
                    label = ">" + kind
            fields = numbers.setdefault(message, {})
            if number.rstrip("*") not in {value.rstrip("*") for value in fields.values()}:
                fields[label] = number
    needed = set(schema)
    while True:
        embedded = {label[1:] for name in needed for label in numbers.get(name, ()) if label.startswith(">")}
        if embedded <= needed:
            break
        needed |= embedded
    numbers = {name: fields for name, fields in numbers.items() if name in needed and name not in SCALARS}
    save_numbers(numbers)
    print(f"{NUMBERS.name}: {len(numbers)} messages, {sum(map(len, numbers.values()))} fields")


def _json_name(package: str) -> str:
    name = re.sub(r"^k8s\.io\.", "io.k8s.", package)
    return name.replace("apiextensions_apiserver", "apiextensions-apiserver").replace(
        "kube_aggregator", "kube-aggregator"
    )


def wire_path(numbers: Numbers, name: str, member: str) -> str:
    """`2.6` for a Volume's secret; empty when unknown. Embedded messages are looked into, deepest last."""
    fields = numbers.get(name, {})
    if member in fields:
        return fields[member]
    for label, number in fields.items():
        if label.startswith(">"):
            inner = wire_path(numbers, label[1:], member)
            if inner:
                return f"{number.rstrip('*')}.{inner}"
    return ""


def type_text(node: dict[str, Any], package: str) -> str:
    """A node in the table's notation."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name in SCALARS:
            return SCALARS[name]
        front, _, last = name.rpartition(".")
        short = {package: "", "io.k8s.api.core.v1": "core.", META[:-1]: "meta."}
        return short.get(front, front + ".") + last
    kind = node.get("type", "any")
    kind = next(entry for entry in kind if entry != "null") if isinstance(kind, list) else kind
    if kind == "array":
        return "[]" + type_text(node["items"], package)
    if kind == "object":
        return "{}" + type_text(node["additionalProperties"], package) if "additionalProperties" in node else "any"
    if kind == "string":
        return {"byte": "bytes", "date-time": "time"}.get(node.get("format", ""), "string")
    return {"integer": node.get("format", "int64"), "number": "double", "boolean": "bool", "any": "any"}[kind]


def facts_text(node: dict[str, Any]) -> Iterator[str]:
    """The merge and apply facts of a node."""
    if "x-kubernetes-list-type" in node:
        keys = node.get("x-kubernetes-list-map-keys")
        yield f"list={node['x-kubernetes-list-type']}" + (":" + ",".join(keys) if keys else "")
    if "x-kubernetes-map-type" in node:
        yield f"map={node['x-kubernetes-map-type']}"
    if "x-kubernetes-patch-merge-key" in node:
        yield f"merge={node['x-kubernetes-patch-merge-key']}"
    if "x-kubernetes-patch-strategy" in node:
        yield f"patch={node['x-kubernetes-patch-strategy']}"


def definition_text(name: str, node: dict[str, Any], numbers: Numbers) -> str:
    """One line of the table."""
    package = name.rpartition(".")[0]
    kinds = node.get("x-kubernetes-group-version-kind", [])
    if len(kinds) > 1:
        parts = [name, f"<*/{kinds[0]['kind']}>"]
    else:
        parts = [name, *(f"<{gvk['group']}/{gvk['version']}/{gvk['kind']}>".replace("</", "<") for gvk in kinds)]
    parts += facts_text(node)
    if ANYTHING.search(name):
        parts.append("any")
    required = set(node.get("required", ()))
    for member, field in node.get("properties", {}).items():
        text = f"{member}{'!' if member in required else ''}:{type_text(field, package)}"
        wire = wire_path(numbers, name, member)
        text += f"={wire}" if wire else ""
        text += "".join(f";{fact}" for fact in facts_text(field))
        if (name, member) in DEFAULTS:
            text += f";default={json.dumps(DEFAULTS[name, member])}"
        elif "enum" in field and member not in ("apiVersion", "kind"):
            text += ";enum=" + "|".join(field["enum"])
        parts.append(text)
    return " ".join(parts)


def write_table() -> None:
    """Rewrite the shipped table and say which members still lack a number."""
    schema, numbers = load_schema(), load_numbers()
    lines = [definition_text(name, node, numbers) for name, node in schema.items() if name not in SCALARS]
    TABLE.write_text("\n".join(lines) + "\n")
    print(f"{TABLE.name}: {len(lines)} definitions, {TABLE.stat().st_size} bytes")
    for name, node in schema.items():
        lacking = [
            member
            for member in node.get("properties", {})
            if member not in ("apiVersion", "kind") and not wire_path(numbers, name, member)
        ]
        if lacking:
            print(f"  no number: {name}: {', '.join(lacking)}")


def main(arguments: list[str]) -> int:
    match arguments:
        case ["table"]:
            write_table()
        case ["numbers", *programs] if programs:
            read_numbers(programs)
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
