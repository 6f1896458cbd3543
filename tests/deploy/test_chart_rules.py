"""Rules of the chart: what they fire on, played by Prometheus itself, and that values lead them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import Render, Renderer
from tools.deploy_check.monitoring import promtool, rule_groups
from tools.deploy_check.schemas import CRDS, crd_validators

pytestmark = pytest.mark.integration

CASES = sorted((Path(__file__).parent / "rules").glob("*.yaml"))
SCALED: dict[str, Any] = {
    "autoscaler": {"mode": "standalone"},
    "pools": [{"name": "one", "profile": "nano-cpu", "min": 1, "max": 2}],
}
NAMES = {
    "configMap": "ConfigMap/facet-rules",
    "prometheusRule": "PrometheusRule/facet-rules",
    "gmp": "Rules/facet-rules",
}


def with_rules(kind: str = "configMap", *, cost_cap: float = 0, **rules: Any) -> dict[str, Any]:
    monitoring = {"from": [{"podSelector": {}}], "rules": {"kind": kind, **rules}}
    scaler = {**SCALED["autoscaler"], "policy": {"maxCostPerHour": cost_cap}}
    return {**SCALED, "autoscaler": scaler, "monitoring": monitoring}


def values_of(case: Path) -> dict[str, Any]:
    return with_rules(cost_cap=40) if case.stem == "cost" else with_rules()


def rules_of(chart: Render, kind: str = "configMap") -> list[dict[str, Any]]:
    return [rule for group in rule_groups(chart[NAMES[kind]]) for rule in group["rules"]]


def played(case: Path, chart: Render, folder: Path) -> list[str]:
    """What promtool has against a case, texts included, under the rules of a render."""
    groups = rule_groups(chart[NAMES["configMap"]])
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        del rule["annotations"]["runbook_url"]
    (folder / "facet.rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    (folder / case.name).write_text(case.read_text())
    return promtool("test", "rules", str(folder / case.name))


def misjudged(told: list[str]) -> set[str]:
    """Alerts that promtool saw fire where the case says none, or the other way; not their texts."""
    found = set()
    for part in re.split(r"^    alertname: ", "\n".join(told), flags=re.MULTILINE)[1:]:
        expected, got = (re.findall("Labels:({.*})", half) for half in part.split("got:[", 1))
        if expected != got:
            found.add(part.partition(",")[0])
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.stem))
def test_alerts_fire_and_rest_as_the_case_says(
    render: Renderer, tmp_path: Path, case: Path
) -> None:
    assert played(case, render(values_of(case)), tmp_path) == []


def test_each_alert_fires_in_a_case_and_rests_in_one(render: Renderer) -> None:
    fires: set[str] = set()
    rests: set[str] = set()
    for case in CASES:
        for test in yaml.safe_load(case.read_text())["tests"]:
            for judged in test["alert_rule_test"]:
                (fires if judged["exp_alerts"] else rests).add(judged["alertname"])
    alerts = {rule["alert"] for rule in rules_of(render(with_rules())) if "alert" in rule}

    assert alerts
    assert fires == alerts
    assert rests == alerts


@pytest.mark.parametrize(
    ("case", "rules", "alert"),
    [
        ("slo", {"slo": {"ttftRatio": 0.9}}, "FacetTtftBudgetFast"),
        ("slo", {"slo": {"ttftSeconds": {"interactive": 5}}}, "FacetTtftBudgetFast"),
        ("slo", {"slo": {"ttftSeconds": {"standard": 2}}}, "FacetTtftBudgetFast"),
        ("slo", {"slo": {"successRatio": 0.99}}, "FacetErrorBudgetFast"),
        ("queue", {"slo": {"queueAgeSeconds": {"interactive": 60}}}, "FacetQueueOld"),
        ("services", {"coldStartSeconds": 300}, "FacetNoWorkers"),
        ("cost", {"cost_cap": 41}, "FacetCostCap"),
        ("cost", {"cost_cap": 0}, "FacetCostCap"),
    ],
)
def test_a_case_is_another_when_the_promise_is(
    render: Renderer, tmp_path: Path, case: str, rules: Mapping[str, Any], alert: str
) -> None:
    (path,) = [path for path in CASES if path.stem == case]

    assert misjudged(played(path, render(with_rules(**rules)), tmp_path)) == {alert}


def test_the_queue_may_hold_more_before_it_is_told_when_its_bound_is_higher(
    render: Renderer, tmp_path: Path
) -> None:
    (case,) = [path for path in CASES if path.stem == "queue"]
    wider = {"gateway": {"maxWaiting": {"requests": 20000}}}

    told = played(case, render({**with_rules(), **wider}), tmp_path)
    assert misjudged(told) == {"FacetQueueNearlyFull"}


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_the_same_rules_are_rendered_whatever_reads_them(render: Renderer, kind: str) -> None:
    chart = render(with_rules(kind, labels={"release": "prometheus"}))

    assert rules_of(chart, kind) == rules_of(render(with_rules()))
    assert chart[NAMES[kind]]["metadata"]["labels"]["release"] == "prometheus"
    assert [name for name in NAMES.values() if name in chart] == [NAMES[kind]]


def test_nothing_is_rendered_when_nothing_is_said(render: Renderer) -> None:
    chart = render()

    assert not [name for name in NAMES.values() if name in chart]
    assert not [name for name in chart.manifests if "-dashboard-" in name]


def test_rules_are_those_that_google_knows(render: Renderer) -> None:
    validators = crd_validators(CRDS)
    if not validators:
        pytest.skip(f"{CRDS} is not there")
    manifest = render(with_rules("gmp"))[NAMES["gmp"]]
    validator = validators["monitoring.googleapis.com/v1", "Rules"]

    assert list(validator.iter_errors(manifest)) == []
    manifest["spec"]["groups"][0]["rules"][0]["keep"] = "5m"
    assert list(validator.iter_errors(manifest))


def test_alerts_link_where_the_operator_keeps_runbooks(render: Renderer) -> None:
    rules = rules_of(render(with_rules(runbooks="https://runbooks.example.com/facet/")))
    links = [rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule]

    assert "https://runbooks.example.com/facet/FacetNoGateway.md" in links
    assert all(link.startswith("https://runbooks.example.com/facet/Facet") for link in links)


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_rules_are_refused_when_policies_let_nobody_scrape(render: Renderer, kind: str) -> None:
    unseen = {"monitoring": {"rules": {"kind": kind}}}

    assert "set monitoring.from" in render(unseen).refusal
    assert render({**unseen, "networkPolicy": {"enabled": False}}).refusal == ""
    seen = {"monitoring": {"rules": {"kind": kind}, "podMonitoring": {"enabled": True}}}
    assert render(seen).refusal == ""


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"slo": {"ttftSeconds": {"interactive": 3}}}, "interactive"),
        ({"slo": {"ttftRatio": 1}}, "ttftRatio"),
        ({"slo": {"successRatio": 99.9}}, "successRatio"),
        ({"slo": {"queueAgeSeconds": {"batch": 0}}}, "batch"),
        ({"kind": "file"}, "kind"),
        ({"coldStartSeconds": 0}, "coldStartSeconds"),
    ],
)
def test_a_value_is_refused_when_no_rule_can_follow_it(
    render: Renderer, rules: Mapping[str, Any], said: str
) -> None:
    refusal = render({"monitoring": {"from": [{"podSelector": {}}], "rules": rules}}).refusal

    assert said in refusal


def test_dashboards_have_the_label_that_sidecars_look_for(render: Renderer) -> None:
    dashboards = {"enabled": True, "annotations": {"grafana_folder": "Facet"}}
    monitoring = {"from": [{"podSelector": {}}], "dashboards": dashboards}
    metadata = render({"monitoring": monitoring})["ConfigMap/facet-dashboard-queue"]["metadata"]

    assert metadata["labels"]["grafana_dashboard"] == "1"
    assert metadata["annotations"]["grafana_folder"] == "Facet"

    dashboards["labels"] = {"grafana_dashboard": "facet", "team": "serving"}
    labels = render({"monitoring": monitoring})["ConfigMap/facet-dashboard-queue"]["metadata"][
        "labels"
    ]
    assert labels["grafana_dashboard"] == "facet"
    assert labels["team"] == "serving"


def test_dashboards_are_refused_when_policies_let_nobody_scrape(render: Renderer) -> None:
    dashboards = {"monitoring": {"dashboards": {"enabled": True}}}

    assert "set monitoring.from" in render(dashboards).refusal
    assert render({**dashboards, "networkPolicy": {"enabled": False}}).refusal == ""
