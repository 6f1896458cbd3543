"""Runs all checks: `make deploy-check`. Progress goes to standard error, one line of JSON out.

Fails, with the reason, also where a tool is missing, a check had nothing to look at, or an object
of some kind that the chart must render came up with none of the CI values.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from tools.deploy_check import (
    access,
    arrows,
    monitoring,
    pods,
    references,
    settings,
    sources,
    values_schema,
)
from tools.deploy_check.outcome import Outcome, guarded, unmet
from tools.deploy_check.renders import Render, all_renders
from tools.deploy_check.schemas import check_schemas

# What a deployment cannot do without, whatever the templates say.
KINDS = {
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "NetworkPolicy",
    "Pod",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "ScaledObject",
    "Secret",
    "Service",
    "ServiceAccount",
    "StatefulSet",
}


def checks(renders: Callable[[], list[Render]]) -> Mapping[str, Callable[[], Outcome]]:
    """All checks by name, in the order in which they run."""
    of_files = {
        "helm-lint": sources.check_lint,
        "helm-template": lambda: Outcome(len(renders())),
        "helm-template-bare": sources.check_bare_values,
        "golden": sources.check_golden,
        "values-schema": values_schema.check_values_schema,
        "templates": sources.check_templates,
        "dockerfiles": sources.check_dockerfiles,
        "compose": sources.check_compose,
        "cloud-build": sources.check_cloud_build,
    }
    of_renders = {
        "schemas": check_schemas,
        "labels": references.check_labels,
        "references": references.check_references,
        "pod-security": pods.check_pod_security,
        "hardening": pods.check_hardening,
        "access": access.check_access,
        "network": arrows.check_network,
        "settings": settings.check_settings,
        "rules": monitoring.check_rules,
        "dashboards": monitoring.check_dashboards,
    }
    return of_files | {
        name: lambda check=check: check(renders()) for name, check in of_renders.items()
    }


def run(names: Mapping[str, Callable[[], Outcome]]) -> dict[str, Outcome]:
    """Run the checks, telling how each went."""
    outcomes = {}
    for name, check in names.items():
        started = time.monotonic()
        outcome = outcomes[name] = guarded(check)
        verdict = "FAILED " if outcome.problems else "ok     "
        took = time.monotonic() - started
        lines = [f"{verdict} {name}: {outcome.count} ({took:.1f} s)", *outcome.problems]
        print("\n        ".join(lines), file=sys.stderr, flush=True)
    return outcomes


def summary(outcomes: Mapping[str, Outcome], kinds: set[str]) -> dict[str, Any]:
    """What is printed: counts by check and by kind, and each failure."""
    missing = unmet(outcomes, kinds)
    problems = [f"{name}: {line}" for name, found in outcomes.items() for line in found.problems]
    schemas = outcomes["schemas"]
    return {
        "checks": {name: outcome.count for name, outcome in outcomes.items()},
        "kinds": dict(sorted(schemas.kinds.items())),
        "unchecked_kinds": dict(sorted(schemas.unchecked.items())),
        "failures": len(problems) + len(missing),
        "failed": problems + missing,
    }


def main() -> int:
    """Run everything; 0 where nothing is wrong."""
    outcomes = run(checks(cache(all_renders)))
    try:
        kinds = KINDS | sources.template_kinds()
    except OSError as error:
        kinds = KINDS
        print(error, file=sys.stderr)
    result = summary(outcomes, kinds)
    print(json.dumps(result))
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
