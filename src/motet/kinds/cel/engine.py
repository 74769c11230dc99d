"""Compiling and evaluating expressions, by Google's implementation of CEL in C++ (`cel-expr-python`).

It is an optional part (`motet[cel]`, 50 MB) and imported with the first expression; without it every use raises
`NotInstalled`, whose text says what to do. Functions are those of the language, its extensions for strings, maths,
optionals and bindings, and Kubernetes' own.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, lru_cache
from types import ModuleType
from typing import Any

import msgspec

from motet.base.errors import MotetError
from motet.kinds.cel import cost, rewriting, tree
from motet.kinds.cel.library import (
    Function,
    addresses,
    authorizing,
    comparing,
    lists,
    quantities,
    texts,
    urls,
    versions,
)
from motet.kinds.cel.sizes import Fixed, OfValues, Size

_ENGINE = "cel_expr_python"
_INSTALL = "rules in CEL cannot be evaluated: install the optional part on every manager with: pip install 'motet[cel]'"
_LIBRARIES = (addresses, authorizing, comparing, lists, quantities, texts, urls, versions)
# A request has fewer bytes than two to this power.
_LARGEST = 22
# What the engine puts around its own messages.
_STATUS = re.compile(r"^(?:INVALID_ARGUMENT|UNKNOWN|NOT_FOUND|OUT_OF_RANGE|FAILED_PRECONDITION|INTERNAL): ")
_STATUS_BEHIND = re.compile(r" \[[A-Z_]+\]$")
_ITERATIONS = "Iteration budget exceeded"
_NO_KEY = re.compile(r'Key not found in map : "?(.*?)"?$')


class NotInstalled(MotetError):
    """The optional part is not there."""

    def __init__(self) -> None:
        super().__init__(_INSTALL)


class CompileError(MotetError):
    """An expression that is not valid; the text is the compiler's, with the place in the expression."""


class EvaluationError(MotetError):
    """An expression that came to no result for these values."""


class CostExceeded(EvaluationError):
    """An expression that could take too long for these values, and was not evaluated."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


def installed() -> bool:
    """Whether expressions can be evaluated at all."""
    return importlib.util.find_spec(_ENGINE) is not None


class Program:
    """A compiled expression over some variables."""

    def __init__(self, expression: str, compiled: Any, environment: Any, variables: tuple[str, ...]) -> None:
        self.expression = expression
        self._variables = variables
        self._compiled = compiled
        self._environment = environment
        # What it costs at most for values of less than 2**N bytes, by N.
        self._bounds: dict[int, int] = {}

    @cached_property
    def tree(self) -> tree.Node:
        """The expression, macros expanded."""
        return tree.read(self._compiled.serialize())

    def evaluate(self, values: Values) -> Any:
        """The result as plain Python. Raises EvaluationError, CostExceeded."""
        if not (self._bound(_LARGEST) <= cost.EVALUATED or self._affordable(values)):
            raise CostExceeded
        try:
            found = self._compiled.eval(activation=values.activation(self._environment))
        except RuntimeError as error:
            if _ITERATIONS in str(error):  # ten thousand are its own limit
                raise CostExceeded from error
            raise EvaluationError(_clean(str(error))) from error
        try:
            plain = found.plain_value()
        except TypeError as error:  # an optional, which has no form outside
            raise EvaluationError("the result is an optional; use orValue() or value()") from error
        if found.type().name() == "ERROR":
            raise EvaluationError(_clean(str(plain)))
        return plain

    def _bound(self, bits: int) -> int:
        found = self._bounds.get(bits)
        if found is None:
            sizes = dict.fromkeys(self._variables, Fixed(1 << bits))
            found = self._bounds[bits] = cost.most(self.tree, sizes)
        return found

    def _affordable(self, values: Values) -> bool:
        """Whether these values are small enough: by their size in all, or else by that of each part."""
        if self._bound(values.weight.bit_length()) <= cost.EVALUATED:
            return True
        return cost.most(self.tree, values.sizes) <= cost.EVALUATED


class Values:
    """The values of variables. Made once for all programs that look at the same ones."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._made: dict[int, Any] = {}

    def activation(self, environment: Any) -> Any:
        """What the engine takes, for the environment it compiled in."""
        made = self._made.get(id(environment))
        if made is None:
            made = self._made[id(environment)] = environment.Activation(data=self._values)
        return made

    @cached_property
    def weight(self) -> int:
        """Bytes of all values together: no part of them is larger."""
        return len(msgspec.json.encode(self._values, enc_hook=str))

    @cached_property
    def sizes(self) -> dict[str, Size]:
        """How large each value is, part by part."""
        return {name: OfValues([value]) for name, value in self._values.items()}


@lru_cache(maxsize=4096)
def compile(expression: str, variables: tuple[str, ...]) -> Program:
    """A program over variables of any type. Raises CompileError, NotInstalled."""
    environment = _environment(variables)
    try:
        compiled = environment.compile(rewriting.rewritten(expression))
    except RuntimeError as error:
        raise CompileError(clean_issues(str(error))) from error
    return Program(expression, compiled, environment, variables)


@cache
def _environment(variables: tuple[str, ...]) -> Any:
    engine = load()
    return engine.NewEnv(
        descriptor_pool=_pool(),
        variables=dict.fromkeys(variables, engine.Type.DYN),
        extensions=extensions(),
    )


@cache
def _pool() -> Any:
    """Knows the types that times and durations come in."""
    importlib.import_module("google.protobuf.timestamp_pb2")
    importlib.import_module("google.protobuf.duration_pb2")
    return importlib.import_module("google.protobuf.descriptor_pool").Default()


@cache
def load() -> ModuleType:
    """The engine. Raises NotInstalled."""
    try:
        return importlib.import_module(f"{_ENGINE}.cel")
    except ImportError as error:
        raise NotInstalled from error


@cache
def extensions() -> Sequence[Any]:
    """All functions beyond the language itself."""
    engine = load()
    names = (
        ("strings", "Strings"),
        ("math", "Math"),
        ("optional", "Optional"),
        ("bindings", "Bindings"),
        ("encoders", "Encoders"),
    )
    found = [getattr(importlib.import_module(f"{_ENGINE}.ext.ext_{module}"), f"Ext{name}")() for module, name in names]
    return [*found, engine.CelExtension("kubernetes", _declared(engine))]


def _declared(engine: Any) -> list[Any]:
    overloads: dict[str, list[Any]] = {}
    for function in (each for library in _LIBRARIES for each in library.FUNCTIONS):
        overloads.setdefault(function.name, []).append(_overload(engine, function))
    return [engine.FunctionDecl(name, found) for name, found in overloads.items()]


def _overload(engine: Any, function: Function) -> Any:
    types = {
        "dyn": engine.Type.DYN,
        "bool": engine.Type.BOOL,
        "int": engine.Type.INT,
        "double": engine.Type.DOUBLE,
        "string": engine.Type.STRING,
        "list": engine.Type.List(engine.Type.DYN),
        "map": engine.Type.Map(engine.Type.DYN, engine.Type.DYN),
    }
    kind = "member" if function.member else "function"
    return engine.Overload(
        f"motet_{kind}_{function.name.replace('.', '_')}_{'_'.join(function.takes)}",
        types[function.gives],
        [types[each] for each in function.takes],
        function.member,
        function.does,
    )


def clean_issues(text: str) -> str:
    """The compiler's issues without the status around them."""
    return _STATUS_BEHIND.sub("", _STATUS.sub("", text)).strip()


def _clean(text: str) -> str:
    text = clean_issues(text)
    if found := _NO_KEY.search(text):
        return f"no such key: {found.group(1)}"
    return "no such overload" if text.startswith("No matching overloads found") else text
