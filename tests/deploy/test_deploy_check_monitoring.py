"""`make deploy-check`: what it finds in rules and dashboards."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import Renderer
from tools.deploy_check.metric_uses import declared, query_problems
from tools.deploy_check.monitoring import (
    RUNBOOKS,
    board_problems,
    check_dashboards,
    check_rules,
    rule_problems,
    syntax_problems,
    target_problems,
)
from tools.deploy_check.promql import Call, Matcher, Use, uses
from tools.deploy_check.renders import Render

pytestmark = pytest.mark.integration

SEEN: dict[str, Any] = {
    "monitoring": {
        "from": [{"podSelector": {}}],
        "dashboards": {"enabled": True},
        "rules": {"kind": "configMap"},
    }
}
ALERT: dict[str, Any] = {
    "alert": "FacetSample",
    "expr": "sum by (model) (facet_queue_leases) > 0",
    "labels": {"severity": "page"},
    "annotations": {
        "summary": "Of {{ $labels.model }}",
        "description": "{{ $value }} of {{ $labels.model }}",
        "runbook_url": "docs/runbooks/FacetSample.md",
    },
}


@pytest.fixture
def rendered(render: Renderer) -> Render:
    """The chart with dashboards and rules."""
    return Render("sample", list(render(SEEN).manifests.values()), {})


def config_map(rendered: Render, name: str) -> dict[str, Any]:
    (found,) = [item for item in rendered.of_kind("ConfigMap") if item["metadata"]["name"] == name]
    return found


def test_metrics_are_read_with_what_stands_around_them() -> None:
    query = (
        'histogram_quantile(0.9, sum by (le, class) (rate(a_bucket{class=~"x|y"}[5m]))) '
        "unless on (class) (max by (class) (b) offset 1h > 2e-3)"
    )

    assert uses(query) == [
        Use(
            "a_bucket",
            (Matcher("class", "=~", "x|y"),),
            True,
            (Call("histogram_quantile"), Call("sum", ("le", "class")), Call("rate")),
        ),
        Use("b", (), False, (Call("max", ("class",)),)),
    ]


@pytest.mark.parametrize("query", ["sum(a", "sum(a))", "a{b=1}", "a;", "[5m]", "sum by (a"])
def test_a_query_is_refused_when_it_cannot_be_read(query: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        uses(query)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(facet_queue_lease)", "declared nowhere"),
        ("sum(vector(1))", "names no metric"),
        ("rate(facet_queue_leases[5m])", "is a gauge, over which rate"),
        ("facet_queue_leases[5m]", "is a gauge, over which nothing"),
        ("sum(facet_gateway_requests_total)", "is a counter, of which only"),
        ("deriv(facet_gateway_requests_total[5m])", "is a counter, over which deriv"),
        ("rate(facet_store_call_seconds[5m])", "declared nowhere"),
        ("rate(facet_store_call_seconds_bucket[5m])", "neither narrowed by le"),
        (
            "histogram_quantile(0.9, sum by (call) (rate(facet_store_call_seconds_bucket[5m])))",
            "loses le",
        ),
        ('rate(facet_store_call_seconds_bucket{le="0.3"}[5m])', "has no bucket 0.3"),
        ("sum by (class) (facet_queue_leases)", "has no label class to group by"),
        ('facet_queue_leases{class="batch"}', "has no label class to select by"),
        ('facet_queue_waiting_requests{class="fast"}', "class is never fast"),
        ('rate(facet_gateway_requests_total{reason=~"OK|FULL"}[5m])', "reason is never FULL"),
        ('rate(facet_store_swept_requests_total{what="lost"}[5m])', "what is never lost"),
    ],
)
def test_a_query_is_found_when_it_does_not_fit_its_metrics(query: str, said: str) -> None:
    assert any(said in problem for problem in query_problems(query, declared()))


@pytest.mark.parametrize(
    "query",
    [
        "sum by (namespace, model) (facet_queue_leases)",
        'sum by (pod) (rate(facet_gateway_requests_total{reason="OK"}[5m]))',
        'sum(rate(facet_store_call_seconds_bucket{le=~"2|2.0"}[5m]))',
        "histogram_quantile(0.9, sum by (le) (rate(facet_store_call_seconds_bucket[5m])))",
        "count(facet_gateway_requests_total)",
    ],
)
def test_a_query_is_let_pass_when_it_fits_its_metrics(query: str) -> None:
    assert query_problems(query, declared()) == []


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(ALERT), **changes}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (changed(labels={}), "severity"),
        (changed(annotations={}), "has no summary"),
        (
            changed(annotations={**ALERT["annotations"], "summary": "{{ $labels.pool }}"}),
            "summary tells pool",
        ),
        (
            changed(annotations={**ALERT["annotations"], "runbook_url": "docs/runbooks/Other.md"}),
            "links no runbook",
        ),
        (changed(expr="sum by (model) (facet_queue_leases) > @MOST@"), "cannot be read"),
        (changed(labels={"severity": "page", "least": "@LEAST@"}), "was not put in"),
        ({"record": "model:x:sum", "expr": "sum(facet_queue_leases)"}, "is not grouped by model"),
    ],
)
def test_a_rule_is_found_when_it_is_wrong(rule: dict[str, Any], said: str) -> None:
    assert list(rule_problems(ALERT, declared())) == []

    assert any(said in problem for problem in rule_problems(rule, declared()))


def test_promtool_is_heard_when_a_rule_is_no_promql() -> None:
    assert syntax_problems([{"name": "sample", "rules": [ALERT]}]) == []

    broken = changed(expr="sum by (model) (facet_queue_leases) >")
    assert syntax_problems([{"name": "sample", "rules": [broken]}])


def test_rules_and_dashboards_of_the_chart_are_all_looked_at(rendered: Render) -> None:
    text = config_map(rendered, "facet-rules")["data"]["facet.rules.yaml"]
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    boards = [
        json.loads(text)
        for item in rendered.of_kind("ConfigMap")
        if "-dashboard-" in item["metadata"]["name"]
        for text in item["data"].values()
    ]

    found = check_rules([rendered])
    assert (found.count, found.problems) == (len(rules), [])
    found = check_dashboards([rendered])
    queries = [
        target for board in boards for each in board["panels"] for target in each.get("targets", [])
    ]
    assert (found.count, found.problems) == (len(queries), [])
    assert {board["uid"].removeprefix("facet-") for board in boards} == {
        "traffic",
        "latency",
        "queue",
        "engine",
        "speculation",
        "autoscaling",
        "cost",
    }


def test_runbooks_are_found_when_they_are_missing_or_of_nothing(
    rendered: Render, tmp_path: Path
) -> None:
    for path in RUNBOOKS.glob("*.md"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "FacetNoWorkers.md").rename(tmp_path / "FacetNothing.md")

    assert check_rules([rendered], tmp_path).problems == [
        "docs/runbooks/FacetNoWorkers.md is missing",
        "docs/runbooks/FacetNothing.md is of no alert",
    ]


def test_each_runbook_says_what_to_do() -> None:
    for path in RUNBOOKS.glob("*.md"):
        headings = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert headings == [
            f"# {path.stem}",
            "## Meaning",
            "## Impact",
            "## How to check",
            "## What to do",
        ]


def sample_board(rendered: Render) -> dict[str, Any]:
    data = config_map(rendered, "facet-dashboard-queue")["data"]
    board: dict[str, Any] = json.loads(data["facet-queue.json"])
    return board


def test_a_dashboard_is_found_when_it_is_no_json_or_is_there_twice(rendered: Render) -> None:
    data = config_map(rendered, "facet-dashboard-queue")["data"]
    text = data["facet-queue.json"]

    data["facet-queue.json"] = text[:-1]
    assert any("is no JSON" in line for line in check_dashboards([rendered]).problems)

    data["facet-queue.json"] = text.replace('"facet-queue"', '"facet-cost"')
    assert any("uid facet-cost is of 2" in line for line in check_dashboards([rendered]).problems)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("id", 1, "panel id 1 is given 2 times"),
        ("targets", [], "asks for nothing"),
        ("description", "", "says not what it shows"),
        ("gridPos", {"h": 8, "w": 12, "x": 12, "y": 1}, "overlap"),
        ("gridPos", {"h": 8, "w": 25, "x": 0, "y": 90}, "wider"),
        ("targets", [{"refId": "A", "expr": "sum(", "legendFormat": ""}], "parse error"),
    ],
)
def test_a_panel_is_found_when_it_is_wrong(
    rendered: Render, key: str, value: Any, said: str
) -> None:
    board = sample_board(rendered)
    assert list(board_problems(board)) == []

    board["panels"][1][key] = value
    assert any(said in problem for problem in board_problems(board))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expr": 'sum(facet_queue_leases{model=~"$modle"})'}, "$modle is no variable"),
        ({"expr": "sum by (model) (facet_queue_lease)"}, "declared nowhere"),
        ({"legendFormat": "{{class}}"}, "the legend tells class"),
    ],
)
def test_a_query_of_a_panel_is_found_when_it_is_wrong(
    rendered: Render, change: dict[str, str], said: str
) -> None:
    board = sample_board(rendered)
    target = {"expr": "sum by (model) (facet_queue_leases)", "legendFormat": "{{model}}"}
    assert list(target_problems(target, board)) == []

    assert any(said in problem for problem in target_problems({**target, **change}, board))
