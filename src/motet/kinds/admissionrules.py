"""What webhook configurations and admission policies have in common: which requests they are about, and on which conditions.

Defaults and validation of admissionregistration.k8s.io/v1, in upstream's words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from motet.base import names
from motet.base.errors import FieldError, duplicate, invalid, required, unsupported
from motet.kinds import checks, clientconfig
from motet.kinds.cel import engine
from motet.kinds.cel.engine import CompileError, NotInstalled
from motet.kinds.kind import Json
from motet.kinds.shape import fill_absent, mapping, objects, strings, text

GROUP = "admissionregistration.k8s.io"
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
REVIEW_VERSIONS = ("v1", "v1beta1")
FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
SCOPES = ("*", "Cluster", "Namespaced")
NO_SIDE_EFFECTS = ("None", "NoneOnDryRun")
DEFAULT_TIMEOUT = 10
_MOST_CONDITIONS = 64
# What conditions of webhooks can look at.
CONDITION_VARIABLES = ("authorizer", "object", "oldObject", "request")


def default_webhook(hook: Json) -> None:
    fill_absent(hook, "failurePolicy", "Fail")
    fill_absent(hook, "matchPolicy", "Equivalent")
    fill_absent(hook, "namespaceSelector", {})
    fill_absent(hook, "objectSelector", {})
    fill_absent(hook, "timeoutSeconds", DEFAULT_TIMEOUT)
    default_rules(objects(hook, "rules"))
    config = hook.get("clientConfig")
    if isinstance(config, dict):
        clientconfig.default(config)


def default_rules(rules: Sequence[Json]) -> None:
    for rule in rules:
        fill_absent(rule, "scope", "*")


def webhooks(document: Json, old: Json | None) -> list[FieldError]:
    """Complaints about all webhooks of a configuration."""
    found: list[FieldError] = []
    seen: set[str] = set()
    before = {text(hook, "name"): hook for hook in objects(old or {}, "webhooks")}
    for index, hook in enumerate(objects(document, "webhooks")):
        path, name = f"webhooks[{index}]", text(hook, "name")
        found += _webhook(hook, path)
        if mapping(before, name).get("matchConditions") != hook.get("matchConditions"):
            found += match_conditions(objects(hook, "matchConditions"), f"{path}.matchConditions", CONDITION_VARIABLES)
        if name in seen:
            found.append(duplicate(f"{path}.name", name))
        if name:
            seen.add(name)
    return found


def _webhook(hook: Json, path: str) -> Iterator[FieldError]:
    yield from _full_name(text(hook, "name"), f"{path}.name")
    for index, rule in enumerate(objects(hook, "rules")):
        yield from rule_errors(rule, f"{path}.rules[{index}]")
    yield from checks.one_of(f"{path}.failurePolicy", text(hook, "failurePolicy"), FAILURE_POLICIES)
    yield from checks.one_of(f"{path}.matchPolicy", text(hook, "matchPolicy"), MATCH_POLICIES)
    if hook.get("sideEffects") is None:
        yield required(f"{path}.sideEffects", f"must specify one of {', '.join(NO_SIDE_EFFECTS)}")
    elif hook["sideEffects"] not in NO_SIDE_EFFECTS:
        yield unsupported(f"{path}.sideEffects", hook["sideEffects"], NO_SIDE_EFFECTS)
    seconds = hook.get("timeoutSeconds")
    if isinstance(seconds, int) and not 1 <= seconds <= 30:
        yield invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for name in ("namespaceSelector", "objectSelector"):
        yield from checks.label_selector(f"{path}.{name}", mapping(hook, name))
    policy = hook.get("reinvocationPolicy")
    if policy is not None:
        yield from checks.one_of(f"{path}.reinvocationPolicy", str(policy), ("IfNeeded", "Never"))
    yield from clientconfig.validate(mapping(hook, "clientConfig"), f"{path}.clientConfig")
    yield from _review_versions(strings(hook, "admissionReviewVersions"), f"{path}.admissionReviewVersions")


def _full_name(name: str, path: str) -> Iterator[FieldError]:
    if not name:
        yield required(path)
    elif problem := names.subdomain_error(name):
        yield invalid(path, name, problem)
    elif name.count(".") < 2:
        yield invalid(path, name, "should be a domain with at least three segments separated by dots")


def _review_versions(versions: list[str], path: str) -> Iterator[FieldError]:
    if not versions:
        yield required(path, f"must specify one of {', '.join(REVIEW_VERSIONS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid(f"{path}[{index}]", version, "duplicate version")
        elif problem := names.label_1035_error(version):
            yield invalid(f"{path}[{index}]", version, problem)
    if not set(versions) & set(REVIEW_VERSIONS):
        yield invalid(path, versions, f"must include at least one of {', '.join(REVIEW_VERSIONS)}")


def rule_errors(rule: Json, path: str) -> Iterator[FieldError]:
    """Which operations on which resources."""
    operations = strings(rule, "operations")
    if not operations:
        yield required(f"{path}.operations")
    elif len(operations) > 1 and "*" in operations:
        yield invalid(f"{path}.operations", operations, "if '*' is present, must not specify other operations")
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            yield unsupported(f"{path}.operations[{index}]", operation, OPERATIONS)
    for name, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        given = strings(rule, name)
        if not given:
            yield required(f"{path}.{name}")
        elif len(given) > 1 and "*" in given:
            yield invalid(f"{path}.{name}", given, f"if '*' is present, must not specify other {what}")
    for index, version in enumerate(strings(rule, "apiVersions")):
        if not version:
            yield required(f"{path}.apiVersions[{index}]")
    yield from _resources(strings(rule, "resources"), f"{path}.resources")
    if (scope := rule.get("scope")) is not None:
        yield from checks.one_of(f"{path}.scope", str(scope), SCOPES)


def _resources(given: list[str], path: str) -> Iterator[FieldError]:
    if not given:
        yield required(path)
    for index, each in enumerate(given):
        here = f"{path}[{index}]"
        if not each:
            yield required(here)
            continue
        resource, slash, sub = each.partition("/")
        if slash and f"{resource}/*" in given[:index]:
            yield invalid(here, each, f"if '{resource}/*' is present, must not specify {each}")
        if slash and f"*/{sub}" in given[:index]:
            yield invalid(here, each, f"if '*/{sub}' is present, must not specify {each}")
    if len(given) > 1 and "*/*" in given:
        yield invalid(path, given, "if '*/*' is present, must not specify other resources")
    if "*" in given and any(each != "*" and "/" not in each for each in given):
        yield invalid(path, given, "if '*' is present, must not specify other resources without subresources")


def match_conditions(given: Sequence[Json], path: str, variables: tuple[str, ...]) -> list[FieldError]:
    """Named expressions that all have to be true."""
    errors: list[FieldError] = []
    if len(given) > _MOST_CONDITIONS:
        errors.append(checks.too_many(path, len(given), _MOST_CONDITIONS))
    seen: set[str] = set()
    for index, condition in enumerate(given):
        here, name = f"{path}[{index}]", text(condition, "name")
        if not name:
            errors.append(required(f"{here}.name"))
        elif problem := names.qualified_name_error(name):
            errors.append(invalid(f"{here}.name", name, problem))
        if name in seen:
            errors.append(duplicate(f"{here}.name", name))
        seen.add(name)
        errors += expression(text(condition, "expression"), f"{here}.expression", variables)
    return errors


def expression(given: str, path: str, variables: tuple[str, ...]) -> list[FieldError]:
    """Whether an expression can be compiled; what cannot be evaluated here at all is refused too."""
    if not given.strip():
        return [required(path)]
    try:
        engine.compile(given.strip(), variables)
    except NotInstalled as error:
        return [invalid(path, given, str(error))]
    except CompileError as error:
        return [invalid(path, given, f"compilation failed: {error}")]
    return []
