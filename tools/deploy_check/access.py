"""Least privilege: what roles of the chart may hold, and to whom they are bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tools.deploy_check.outcome import Outcome
from tools.deploy_check.renders import Manifest, Render, namespace_of, title

# The API cannot narrow these by name: the object does not exist yet, or the call names none.
_NAMELESS_VERBS = {"create", "list", "watch"}
# Pods of a Deployment have generated names.
_NAMELESS_RESOURCES = {"pods"}
_FORBIDDEN = {
    "secrets",
    "pods/exec",
    "pods/attach",
    "pods/portforward",
    "nodes/proxy",
    "serviceaccounts/token",
    "roles",
    "rolebindings",
    "clusterroles",
    "clusterrolebindings",
}
_FORBIDDEN_VERBS = {"escalate", "bind", "impersonate", "deletecollection"}


def rule_problems(rule: Manifest) -> Iterator[str]:
    """What one rule of a role grants too much."""
    resources, verbs = set(rule.get("resources") or []), set(rule["verbs"])
    for field in ("apiGroups", "resources", "verbs", "nonResourceURLs"):
        if any("*" in value for value in rule.get(field) or []):
            yield f"{field} holds a wildcard"
    for resource in sorted(resources & _FORBIDDEN):
        yield f"grants {resource}"
    for verb in sorted(verbs & _FORBIDDEN_VERBS):
        yield f"grants {verb}"
    named = verbs - _NAMELESS_VERBS
    for resource in sorted(resources - _NAMELESS_RESOURCES):
        if named and not rule.get("resourceNames"):
            yield f"{', '.join(sorted(named))} of {resource} is not narrowed by resourceNames"
    if resources & _NAMELESS_RESOURCES and "delete" in verbs:
        yield "deletes pods"


def binding_problems(binding: Manifest, render: Render) -> Iterator[str]:
    """Whether a binding ties a role of the release to an account of the release."""
    reference: dict[str, Any] = binding["roleRef"]
    if reference["name"] not in {
        role["metadata"]["name"] for role in render.of_kind(reference["kind"])
    }:
        yield f"binds {reference['kind']} {reference['name']}, which the chart does not render"
    accounts = {
        (item["metadata"]["name"], namespace_of(item)) for item in render.of_kind("ServiceAccount")
    }
    for subject in binding.get("subjects") or []:
        where = (subject["name"], subject.get("namespace", namespace_of(binding)))
        if subject["kind"] != "ServiceAccount" or where not in accounts:
            yield f"is bound to {subject['kind']} {subject['name']}, which is not the release's"


def check_access(renders: Iterable[Render]) -> Outcome:
    """All roles and bindings of all renders; each rule counts."""
    outcome = Outcome()
    for render in renders:
        for role in render.of_kind("Role", "ClusterRole"):
            where = f"{render.name}: {title(role)}"
            if role["kind"] == "ClusterRole":
                outcome.problems.append(f"{where}: reaches beyond the release's namespace")
            for rule in role["rules"]:
                outcome.look(f"{where}: {problem}" for problem in rule_problems(rule))
        for binding in render.of_kind("RoleBinding", "ClusterRoleBinding"):
            outcome.look(
                f"{render.name}: {title(binding)}: {problem}"
                for problem in binding_problems(binding, render)
            )
    return outcome
