"""Macros that the engine lacks, in terms of those it has.

With two variables (`list.all(i, v, ...)`, `map.transformMap(k, v, ...)`; cel-go's TwoVarComprehensions) a comprehension runs
over pairs: `list.pairs().all(p, cel.bind(i, p[0], cel.bind(v, p[1], ...)))`. A format's `validate` gives an optional
list, which functions of ours cannot make: it is made around them. Everything else stays as it was written.
"""

from __future__ import annotations

from motet.kinds.cel.tokens import Token, arguments, closing, tokens

# The functions that are called under the hood; the library has them.
PAIRS, TO_LIST, TO_MAP, MERGE = "motet_pairs", "motet_values", "motet_map", "motet_merge"
PROBLEMS = "motet_problems"
_PAIR = "motet_pair"

# Types whose values mutating policies write out.
_TYPES = ("Object", "JSONPatch")
_QUANTIFIERS = {"all": "all", "exists": "exists", "existsOne": "exists_one", "exists_one": "exists_one"}
_TRANSFORMS = {"transformList": TO_LIST, "transformMap": TO_MAP, "transformMapEntry": MERGE}


def rewritten(expression: str) -> str:
    """The expression in the engine's own macros; the same text when there is nothing to rewrite."""
    if "{" in expression:
        expression = _objects(expression)
    if "." not in expression:
        return expression
    return _validations(_comprehensions(expression, tokens(expression)))


def _objects(expression: str) -> str:
    """Objects written out (`Object.spec{replicas: 3}`, `JSONPatch{op: "add"}`) as the maps that they are."""
    found = tokens(expression)
    edits: list[tuple[int, int, str]] = []
    for index, token in enumerate(found):
        if token.text == "{" and (begin := _type_name(found, index)) is not None:
            edits.append((found[begin].start, token.start, ""))
            edits += _keys(found, index)
    for start, end, text in sorted(edits, reverse=True):
        expression = expression[:start] + text + expression[end:]
    return expression


def _type_name(found: list[Token], brace: int) -> int | None:
    """Where the name of a type before a brace begins, if it is one of those that stand for objects."""
    index = brace - 1
    while index >= 2 and found[index].kind == "name" and found[index - 1].text == ".":
        index -= 2
    return index if index >= 0 and found[index].text in _TYPES and found[index].kind == "name" else None


def _keys(found: list[Token], brace: int) -> list[tuple[int, int, str]]:
    """The edits that make strings of the member names between two braces."""
    end = closing(found, brace)
    if end < 0:
        return []
    keys = []
    for begin, _ in arguments(found, brace, end):
        at = begin + 1 if found[begin].text == "?" else begin
        if found[at].kind == "name" and at + 1 < len(found) and found[at + 1].text == ":":
            keys.append((found[at].start, found[at].end, f'"{found[at].text}"'))
    return keys


def _validations(expression: str) -> str:
    if ".validate" not in expression:
        return expression
    found = tokens(expression)
    for index in range(2, len(found) - 1):
        if found[index].text != "validate" or found[index - 1].text != "." or found[index + 1].text != "(":
            continue
        end, begin = closing(found, index + 1), _receiver(found, index - 2)
        if end < 0:
            continue
        before, after = expression[: found[begin].start], expression[found[end].end :]
        whole = expression[found[begin].start : found[index].start]
        asked = f"{whole}{PROBLEMS}{expression[found[index + 1].start : found[end].end]}"
        return _validations(f"{before}optional.ofNonZeroValue({asked}){after}")
    return expression


def _receiver(found: list[Token], last: int) -> int:
    """The index where the chain of members and calls begins that ends at `last`."""
    while True:
        if found[last].text in (")", "]"):
            last = _opening(found, last)
            if last == 0 or found[last - 1].kind != "name":
                return last
            last -= 1
        if last < 2 or found[last - 1].text not in (".", "?."):
            return last
        last -= 2


def _opening(found: list[Token], close: int) -> int:
    return next((index for index in range(close, -1, -1) if closing(found, index) == close), 0)


def _comprehensions(expression: str, found: list[Token]) -> str:
    for index in range(1, len(found) - 1):
        name = found[index]
        called = found[index - 1].text == "." and found[index + 1].text == "("
        if not called or not (name.text in _QUANTIFIERS or name.text in _TRANSFORMS):
            continue
        end = closing(found, index + 1)
        ranges = arguments(found, index + 1, end) if end > 0 else []
        if len(ranges) < 3 or not all(_is_name(found, each) for each in ranges[:2]):
            continue
        parts = [rewritten(expression[found[a].start : found[b - 1].end]) for a, b in ranges]
        replaced = _macro(name.text, parts)
        before, after = expression[: name.start], expression[found[end].end :]
        return _comprehensions(whole := before + replaced + after, tokens(whole))
    return expression


def _is_name(found: list[Token], argument: tuple[int, int]) -> bool:
    begin, end = argument
    return end - begin == 1 and found[begin].kind == "name"


def _macro(name: str, parts: list[str]) -> str:
    first, second, *rest = parts

    def bound(expression: str) -> str:
        return f"cel.bind({first}, {_PAIR}[0], cel.bind({second}, {_PAIR}[1], {expression}))"

    if name in _QUANTIFIERS:
        return f"{PAIRS}().{_QUANTIFIERS[name]}({_PAIR}, {bound(rest[0])})"
    kept = f"{bound(rest[0])}, " if len(rest) > 1 else ""
    made = f"[{first}, {rest[-1]}]" if name == "transformMap" else rest[-1]
    return f"{PAIRS}().map({_PAIR}, {kept}{bound(made)}).{_TRANSFORMS[name]}()"
