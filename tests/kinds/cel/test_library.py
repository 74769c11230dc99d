"""What Kubernetes adds to CEL, evaluated by the real engine."""

from __future__ import annotations

from typing import Any

import pytest

from motet.kinds.cel import engine
from motet.kinds.cel.engine import CompileError, EvaluationError, Values

SELF = {"a": 1, "l": [1, 2, 3], "m": {"x": 1, "y": 2}, "s": "hello"}


def value(expression: str) -> Any:
    return engine.compile(expression, ("self",)).evaluate(Values({"self": SELF}))


@pytest.mark.parametrize(
    "expression",
    [
        "self.l.all(i, v, v > i)",
        "self.l.exists(i, v, v == 3 && i == 2)",
        "self.l.existsOne(i, v, v == 3)",
        "self.l.transformList(i, v, v * i) == [0, 2, 6]",
        "self.l.transformList(i, v, i > 0, v * i) == [2, 6]",
        "self.m.transformMap(k, v, v + 1) == {'x': 2, 'y': 3}",
        "self.m.transformMap(k, v, v > 1, v) == {'y': 2}",
        "self.m.transformMapEntry(k, v, {v: k}) == {1: 'x', 2: 'y'}",
        "self.l.all(i, v, self.l.exists(j, w, j == i && w == v))",
        "quantity('1.5Gi').add(quantity('512Mi')) == quantity('2Gi')",
        "quantity('1').sub(quantity('250m')) == quantity('0.75')",
        "quantity('1').isGreaterThan(quantity('500m')) && quantity('1').compareTo(quantity('1000m')) == 0",
        "quantity('2k').asInteger() == 2000 && !quantity('1m').isInteger() && quantity('-1').sign() == -1",
        "quantity('500m').asApproximateFloat() == 0.5 && isQuantity('1Gi') && !isQuantity('x')",
        "ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && !isIP('10.0.0.1.2')",
        "ip('127.0.0.1').isLoopback() && ip('224.0.0.1').isLinkLocalMulticast() && ip('1.2.3.4').isGlobalUnicast()",
        "ip.isCanonical('::1') && !ip.isCanonical('0:0:0:0:0:0:0:1')",
        "cidr('10.0.0.0/8').containsIP('10.1.1.1') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16'))",
        "!cidr('10.1.0.0/16').containsCIDR('10.0.0.0/8') && cidr('10.0.0.1/8').prefixLength() == 8",
        "string(cidr('10.0.0.1/8').masked()) == '10.0.0.0/8' && string(cidr('10.0.0.1/8').ip()) == '10.0.0.1'",
        "url('https://a:80/b?c=d').getHost() == 'a:80' && url('https://a:80/b').getPort() == '80'",
        "url('https://[::1]:80/b').getHostname() == '::1' && url('/x y').getEscapedPath() == '/x%20y'",
        "url('https://a/b?c=d&c=e').getQuery()['c'] == ['d', 'e'] && !isURL('a b') && isURL('/a')",
        "!self.l.map(x, -x).isSorted() && self.l.sum() == 6 && self.l.max() == 3 && self.l.min() == 1",
        "self.l.indexOf(2) == 1 && self.l.lastIndexOf(9) == -1",
        "sets.equivalent([1, 2], [2, 1, 1]) && sets.contains([1, 2], [1]) && !sets.intersects([1], [2])",
        "'abc 123'.find('[0-9]+') == '123' && 'a1b22c3'.findAll('[0-9]+', 2) == ['1', '22']",
        "semver('1.2.3').isLessThan(semver('1.2.4-rc.1')) && semver('1.2.3-rc.1').compareTo(semver('1.2.3')) == -1",
        "semver('1.2.3-rc.2').isLessThan(semver('1.2.3-rc.10')) && isSemver('v1.0', true) && !isSemver('v1.0')",
        "semver('1.2.3').major() == 1 && semver('v01', true) == semver('1.0.0')",
        "!format.dns1123Label().validate('a-b').hasValue() && format.dns1123Label().validate('A_').hasValue()",
        "format.named('uri').validate('a b').value() == ['must be a valid URL'] && format.isNamed('uuid')",
        "self.?zz.orValue('none') == 'none' && self.s.substring(1, 3) == 'el' && math.greatest(1, 2) == 2",
    ],
)
def test_holds(expression: str) -> None:
    assert value(expression) is True


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("self.zz", "no such key: zz"),
        ("self.a + 'x'", "no such overload"),
        ("[].min()", "min called on empty list"),
        ("quantity('x')", "quantities must match the regular expression"),
        ("quantity('1').add('2')", "no such overload"),
        ("ip('1.2.3')", "IP Address '1.2.3' parse error during conversion from string"),
        ("semver('1')", "invalid semantic version: 1"),
        ("format.named('x')", "no format is called 'x'"),
        ("1 / 0", "divide by zero"),
        ("self.?a", "the result is an optional"),
    ],
)
def test_fails_with_words(expression: str, said: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        value(expression)
    assert said in str(caught.value)


def test_what_cannot_be_compiled_says_where() -> None:
    with pytest.raises(CompileError) as caught:
        value("self.a +")
    assert str(caught.value).startswith("ERROR: <input>:1:9: Syntax error")
