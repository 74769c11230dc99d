"""What `tools/field_support/*.yaml` says of every field, held against the code.

A file is a page. It has a `title`, perhaps an `about`, and `definitions` by their short names, each with

* `by`: where the fields are acted on, paths below `src/motet`. A field of which nothing else is said *holds*, and has
  to be named in one of these places;
* `notes`: what else there is to say about fields that hold;
* `kept`: fields that are kept and shown and have no effect here, with the reason. None may be named in `by`; those whose
  names also mean something else there are listed in `namesakes`. `"*"` stands for all fields not mentioned elsewhere;
* `refused`: fields, or values of them (`when`), that are refused. The words are not written down but asked for: a `pod`
  shown to the node's own check, or a `kind` with a `document` shown to the API's. Where neither can tell, `words` are
  those of the module `in`, which has to contain them.

Several names with commas between them share what is said. Definitions that only refused or kept fields lead to need no
entry: they go the way of those fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import field_evidence
import yaml

from motet.api import openapi
from motet.api.http import discovery
from motet.kinds.catalogue import Catalogue
from motet.kinds.schema import table
from motet.kinds.schema.model import Schema

DATA = Path(__file__).resolve().parent / "field_support"
_PREFIXES = (
    "io.k8s.api.",
    "io.k8s.apimachinery.pkg.apis.",
    "io.k8s.apiextensions-apiserver.pkg.apis.",
    "io.k8s.kube-aggregator.pkg.apis.",
)
_OBJECT = frozenset({"apiVersion", "kind", "metadata"})
_ENTRIES = frozenset({"by", "notes", "kept", "refused", "namesakes"})
# Motet's own kinds have their own pages; a list is its items and its metadata.
_OWN = "dev.motet."


@dataclass(frozen=True)
class Fact:
    """What is true of one field: `state` is holds, kept or refused; `text` says more, or why, or with which words.

    `when` names the values that are refused of a field that otherwise holds."""

    state: str
    text: str = ""
    when: str = ""


@dataclass(frozen=True)
class Definition:
    """One definition of the schema with a fact for every field, or the fields it goes the way of."""

    name: str
    schema: Schema
    facts: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    within: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """One file: the definitions in their order."""

    name: str
    title: str
    about: str
    definitions: tuple[Definition, ...]


def short(name: str) -> str:
    """`core.v1.Pod` for `io.k8s.api.core.v1.Pod`."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def published() -> dict[str, Schema]:
    """Every definition with fields in the OpenAPI documents of the built-in kinds and in the stable reviews, by short
    name; lists left out."""
    catalogue = Catalogue()
    found: dict[str, Schema] = {}
    for group, versions in catalogue.groups().items():
        for version in versions:
            for name in openapi.v3(catalogue, group, version)["components"]["schemas"]:
                schema = table.get(name) if name in table.shipped() else None
                if schema is not None and schema.fields and not name.startswith(_OWN) and not _is_list(schema):
                    found[short(name)] = schema
    for review in reviews():
        _collect(table.get(review), found)
    return dict(sorted(found.items()))


def reviews() -> list[str]:
    """The definitions of the reviews: questions that are answered and not kept."""
    kinds = (table.find(f"{review.group}/{review.version}", review.kind) for review in discovery.REVIEWS)
    return [schema.name for schema in kinds if schema is not None and schema.kinds[0].version == "v1"]


def _collect(schema: Schema, found: dict[str, Schema]) -> None:
    if schema.name and schema.fields:
        if short(schema.name) in found:
            return
        found[short(schema.name)] = schema
    for inner in schema.children():
        _collect(inner, found)


def _is_list(schema: Schema) -> bool:
    return "items" in schema.fields and "apiVersion" in schema.fields and schema.name.endswith("List")


def load() -> tuple[list[Page], list[str]]:
    """The pages, and what is wrong: one line for each thing that is missing or that the code contradicts."""
    schemas = published()
    problems: list[str] = []
    pages: list[tuple[str, dict[str, Any]]] = []
    facts: dict[str, Mapping[str, tuple[Fact, ...]]] = {}
    for file in sorted(DATA.glob("*.yaml")):
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
        pages.append((file.stem, said))
        for name, entry in said["definitions"].items():
            if name in facts:
                problems.append(f"{file.name}: {name} is said twice")
            elif name not in schemas:
                problems.append(f"{file.name}: {name} is not served")
            elif entry:
                found = dict(_facts(name, schemas[name], entry, problems))
                facts[name] = {each: found.get(each, ()) for each in schemas[name].fields}
    inherited = _inherited(schemas, facts)
    for name in schemas.keys() - facts.keys() - inherited.keys():
        problems.append(f"{name}: nothing is said of it (fields: {', '.join(schemas[name].fields)})")
    placed = {name for _, said in pages for name in said["definitions"]}
    made = []
    for stem, said in pages:
        names = [name for name in said["definitions"] if name in facts or name in inherited]
        # What a page's fields lead to and no page names stands behind them.
        for name in names:
            names += [each for each in _reached(schemas[name]) if each in inherited and each not in placed]
            placed.update(names)
        made.append(Page(stem, said["title"], said.get("about", ""), tuple(_made(schemas, facts, inherited, names))))
    return made, sorted(problems)


def _made(
    schemas: Mapping[str, Schema],
    facts: Mapping[str, Mapping[str, tuple[Fact, ...]]],
    inherited: Mapping[str, list[tuple[str, str]]],
    names: list[str],
) -> Iterator[Definition]:
    for name in names:
        if name in facts:
            yield Definition(name, schemas[name], facts[name])
        else:
            yield Definition(name, schemas[name], within=tuple(inherited[name]))


def _facts(
    name: str, schema: Schema, entry: Mapping[str, Any], problems: list[str]
) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    if unknown := entry.keys() - _ENTRIES:
        problems.append(f"{name}: no such entry: {', '.join(sorted(unknown))}")
    by = entry.get("by", [])
    places = [by] if isinstance(by, str) else by
    named = frozenset[str]().union(*(field_evidence.named_in(place) for place in places))
    notes, kept, refused = (_by_field(entry.get(part, {})) for part in ("notes", "kept", "refused"))
    rest = kept.pop("*", None)
    namesakes = set(_names(entry.get("namesakes", "")))
    for said in (notes, kept, refused):
        for each in said.keys() - schema.fields.keys():
            problems.append(f"{name}.{each}: there is no such field")
    whole = "metadata" in schema.fields
    for each in schema.fields:
        if each in refused:
            facts = [_refused(f"{name}.{each}", one, problems) for one in _several(refused[each])]
            if all(fact.when for fact in facts):
                facts.insert(0, Fact("holds", notes.get(each, "")))
        elif each in kept or (rest is not None and each not in notes and not (whole and each in _OBJECT)):
            facts = [Fact("kept", kept.get(each, rest))]
            if words(each) in named and each not in namesakes and each in kept:
                problems.append(f"{name}.{each}: said to have no effect, but {', '.join(places)} names it")
        else:
            facts = [Fact("holds", notes.get(each, ""))]
            if words(each) not in named and not (whole and each in _OBJECT):
                problems.append(f"{name}.{each}: said to hold, but nothing in {', '.join(places) or '(by)'} names it")
        yield each, tuple(facts)


def _refused(where: str, said: Mapping[str, Any], problems: list[str]) -> Fact:
    when = said.get("when", "")
    if "pod" in said:
        text = field_evidence.refused_by_node(said["pod"])
    elif "kind" in said:
        text = field_evidence.refusal(said["kind"], said["document"])
    else:
        source = (field_evidence.SOURCE / f"{said['in']}.py").read_text(encoding="utf-8")
        text = said["words"] if said["words"] in source else ""
    if not text:
        problems.append(f"{where}: said to be refused{f' when {when}' if when else ''}, but is not, or in other words")
    return Fact("refused", text, when)


def _inherited(
    schemas: Mapping[str, Schema], facts: Mapping[str, Mapping[str, tuple[Fact, ...]]]
) -> dict[str, list[tuple[str, str]]]:
    """Definitions of which nothing is said and which only fields without an effect lead to, with those fields."""
    holders: dict[str, list[tuple[str, str]]] = {}
    for name, schema in schemas.items():
        for each, member in schema.fields.items():
            if (target := short(named(member.schema).name)) in schemas and target != name:
                holders.setdefault(target, []).append((name, each))
    found: dict[str, list[tuple[str, str]]] = {}
    while True:
        more = {
            name: holding
            for name, holding in holders.items()
            if name not in facts
            and name not in found
            and all(
                holder in found or (holder in facts and all(fact.state != "holds" for fact in facts[holder][each]))
                for holder, each in holding
            )
        }
        if not more:
            return found
        found.update(more)


def _reached(schema: Schema) -> Iterator[str]:
    for member in schema.fields.values():
        if name := named(member.schema).name:
            yield short(name)


def named(schema: Schema) -> Schema:
    """The definition a field leads to, through lists and maps."""
    while not schema.name and (inner := schema.items or schema.values) is not None:
        schema = inner
    return schema


def words(name: str) -> str:
    return field_evidence.words(name)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _by_field(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for names in said for name in _names(names) for value in (said[names],)}


def _several(said: Any) -> list[Mapping[str, Any]]:
    return said if isinstance(said, list) else [said]
