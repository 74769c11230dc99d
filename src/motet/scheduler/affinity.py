"""Does a node answer a node selector? (Kubernetes "Assigning Pods to Nodes".)"""

from __future__ import annotations

from collections.abc import Mapping

from motet.scheduler.views import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm


def selected(selector: NodeSelector, labels: Mapping[str, str], name: str) -> bool:
    """Terms are alternatives; a selector without terms selects nothing."""
    return any(term_matches(term, labels, name) for term in selector.node_selector_terms)


def term_matches(term: NodeSelectorTerm, labels: Mapping[str, str], name: str) -> bool:
    """All expressions must hold; a term without any selects nothing."""
    if not term.match_expressions and not term.match_fields:
        return False
    return all(_holds(item, labels) for item in term.match_expressions or ()) and all(
        _holds(item, {"metadata.name": name}) for item in term.match_fields or ()
    )


def _holds(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    values = requirement.values or ()
    match requirement.operator:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(value, requirement.operator, values)
    return False


def _compares(value: str | None, operator: str, values: tuple[str, ...]) -> bool:
    try:
        number, bound = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return number > bound if operator == "Gt" else number < bound
