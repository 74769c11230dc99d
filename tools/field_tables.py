"""Make the pages `docs/kubernetes/*.md`, which say of every field of every built-in kind whether it holds.

    python tools/field_tables.py           # write the pages
    python tools/field_tables.py check     # only say what is missing, contradicted or out of date

What is said comes from `tools/field_support/` (`field_statements.py` has the form and the checks); which fields there
are comes from the OpenAPI documents that are served.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from field_statements import Definition, Fact, Page, load, named, reviews, short  # noqa: E402 - a neighbour, not a package

from motet.kinds.catalogue import Catalogue  # noqa: E402
from motet.kinds.schema import table  # noqa: E402

PAGES = ROOT / "docs" / "kubernetes"
_MADE = "<!-- Made by tools/field_tables.py from tools/field_support/{name}.yaml: change that and run it. -->"
_STABLE = ("v1", "v2")
_LEGEND = (
    "**Holds**: does here what the Kubernetes documentation says, or is written here as upstream writes it. "
    "**Kept**: stored and shown, but nothing here acts on it. **Refused**: with these words."
)


def render(page: Page, homes: dict[str, str]) -> str:
    """One page. `homes` has the page of every definition."""
    lines = [_MADE.format(name=page.name), f"# {page.title}", ""]
    if page.about:
        lines += [page.about.strip(), ""]
    lines += [_LEGEND, ""]
    for definition in page.definitions:
        lines += [*_section(definition, page.name, homes), ""]
    return "\n".join(lines).rstrip() + "\n"


def _section(definition: Definition, page: str, homes: dict[str, str]) -> Iterator[str]:
    served = [kind for kind in definition.schema.kinds if Catalogue().by_kind(_api_version(kind), kind.kind)]
    yield f"## {definition.name}" if served else f"### {definition.name}"
    yield ""
    if definition.within:
        fields = ", ".join(f"`{name}`" for name in definition.schema.fields)
        holders = ", ".join(f"[{holder}](#{_anchor(holder)}).`{each}`" for holder, each in definition.within[:4])
        yield f"{fields}: as the field they stand in, {holders}{' and others' if len(definition.within) > 4 else ''}."
        return
    yield "| field | here |"
    yield "|---|---|"
    for text, fields in _grouped(definition, page, homes).items():
        yield f"| {', '.join(fields)} | {text} |"


def _grouped(definition: Definition, page: str, homes: dict[str, str]) -> dict[str, list[str]]:
    """Fields of which the same is said, in one row: what holds first, what is refused last."""
    rows: dict[str, list[str]] = {}
    order = sorted(definition.facts.items(), key=lambda item: (_rank(item[1]), list(definition.facts).index(item[0])))
    for name, facts in order:
        shown = f"`{name}`"
        target = short(named(definition.schema.fields[name].schema).name)
        if target in homes and target != definition.name:
            home = "" if homes[target] == page else f"{homes[target]}.md"
            shown = f"[`{name}`]({home}#{_anchor(target)})"
        rows.setdefault("; ".join(_said(fact) for fact in facts), []).append(shown)
    return rows


def _rank(facts: tuple[Fact, ...]) -> tuple[int, bool]:
    return ("holds", "kept", "refused").index(facts[0].state), bool(facts[0].text or len(facts) > 1)


def _said(fact: Fact) -> str:
    text = fact.text.replace("|", "\\|").replace("\n", " ").strip()
    match fact.state:
        case "holds":
            return f"holds: {text}" if text else "holds"
        case "kept":
            return f"kept, no effect here: {text}"
        case _:
            return f"refused{f' when {fact.when}' if fact.when else ''}: “{text}”"


def _anchor(name: str) -> str:
    return name.lower().replace(".", "")


def _api_version(kind: table.GroupVersionKind) -> str:
    return f"{kind.group}/{kind.version}" if kind.group else kind.version


def index(pages: list[Page]) -> str:
    """The page that leads to the others: every kind served with its page, and the stable ones that are not."""
    catalogue = Catalogue()
    homes = {definition.name: page.name for page in pages for definition in page.definitions}
    lines = [
        "<!-- Made by tools/field_tables.py. -->",
        "# Every field of every kind",
        "",
        "Which fields there are is read off the OpenAPI documents that a manager serves. What is said of them is kept in",
        "`tools/field_support/` and held against the code: a field that holds is named by the modules that are said to act",
        "on it, one that has no effect is not, and the words of a refusal are those that come out when it is provoked.",
        "",
        "| kind | fields |",
        "|---|---|",
    ]
    for kind in catalogue:
        if (name := short(kind.schema)) in homes:
            page = homes[name]
            lines.append(f"| {kind.kind} ({kind.api_version}) | [{page}]({page}.md#{_anchor(name)}) |")
    for name in sorted(homes.keys() & set(map(short, reviews()))):
        lines.append(
            f"| {name.rpartition('.')[2]} (answered, not kept) | [{homes[name]}]({homes[name]}.md#{_anchor(name)}) |"
        )
    missing = sorted({f"{found.kind} ({_api_version(found)})" for found in _not_served(catalogue, homes)})
    lines += ["", "## Not served", "", "Stable kinds of Kubernetes that a manager answers with 404 Not Found:", ""]
    lines += [f"{', '.join(missing) or 'none'}.", "", "Kinds in alpha and beta versions are not served either."]
    return "\n".join(lines) + "\n"


def _not_served(catalogue: Catalogue, homes: dict[str, str]) -> Iterator[table.GroupVersionKind]:
    for name in table.shipped():
        if not name.startswith("io.k8s.api.") and "kube-aggregator" not in name:
            continue
        for kind in table.get(name).kinds:
            served = catalogue.by_kind(_api_version(kind), kind.kind)
            stable = kind.version in _STABLE and not kind.kind.endswith("List")
            if stable and served is None and short(name) not in homes:
                yield kind


def rendered() -> tuple[dict[Path, str], list[str]]:
    """What every page should hold, and what is wrong with what is said."""
    pages, problems = load()
    homes = {definition.name: page.name for page in pages for definition in page.definitions}
    made = {PAGES / f"{page.name}.md": render(page, homes) for page in pages}
    made[PAGES / "README.md"] = index(pages)
    return made, problems


def main() -> int:
    made, problems = rendered()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if sys.argv[1:] != ["check"]:
        for path in stale:
            path.write_text(made[path], encoding="utf-8")
    else:
        problems += [f"{path.relative_to(ROOT)} is out of date: run tools/field_tables.py" for path in stale]
    print("\n".join(problems) or f"{len(made)} pages")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
