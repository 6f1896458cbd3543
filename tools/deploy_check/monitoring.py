"""Rules and dashboards of the chart: what Prometheus says to them, and what they ask for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.checks import ROOT
from tools.deploy_check.metric_uses import Known, declared, kept_labels, query_problems, recorded
from tools.deploy_check.outcome import Outcome
from tools.deploy_check.promql import uses
from tools.deploy_check.renders import Manifest, Render, title

RUNBOOKS = ROOT / "docs" / "runbooks"
_LABEL = re.compile(r"\$labels\.(\w+)")
_LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_VARIABLE = re.compile(r"\$(\w+)")
# What stands for Grafana's own variables when Prometheus judges a query.
_OF_GRAFANA = {"__rate_interval": "5m"}
_SEVERITIES = {"page", "ticket"}


def promtool(*arguments: str) -> list[str]:
    """What promtool finds wrong; RuntimeError where it is not there."""
    tool = shutil.which("promtool")
    if tool is None:
        raise RuntimeError("promtool is not on PATH: install Prometheus (Debian: prometheus)")
    done = subprocess.run(
        [tool, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return (done.stdout + done.stderr).splitlines() if done.returncode else []


def rule_groups(item: Manifest) -> list[dict[str, Any]]:
    """The groups of an object that carries rules; none for any other."""
    if item["kind"] in ("PrometheusRule", "Rules"):
        return list(item["spec"]["groups"])
    if item["kind"] == "ConfigMap":
        texts = [
            text for name, text in (item.get("data") or {}).items() if name.endswith(".rules.yaml")
        ]
        return [group for text in texts for group in yaml.safe_load(text)["groups"]]
    return []


def check_rules(renders: Iterable[Render], runbooks: Path = RUNBOOKS) -> Outcome:
    """All rules of all renders; each alert has a runbook, and each runbook an alert."""
    outcome, alerts = Outcome(), set[str]()
    for render in renders:
        for item in render.objects:
            groups = rule_groups(item)
            if not groups:
                continue
            where = f"{render.name}: {title(item)}"
            rules = [rule for group in groups for rule in group["rules"]]
            known = declared() | recorded(rule["record"] for rule in rules if "record" in rule)
            outcome.problems += [f"{where}: {line}" for line in syntax_problems(groups)]
            for rule in rules:
                name = rule.get("record") or rule["alert"]
                outcome.look(f"{where}: {name}: {line}" for line in rule_problems(rule, known))
            alerts |= {rule["alert"] for rule in rules if "alert" in rule}
    written = {path.stem for path in runbooks.glob("*.md")} - {"README"}
    outcome.problems += [f"docs/runbooks/{name}.md is missing" for name in sorted(alerts - written)]
    outcome.problems += [
        f"docs/runbooks/{name}.md is of no alert" for name in sorted(written - alerts)
    ]
    return outcome


def syntax_problems(groups: list[dict[str, Any]]) -> list[str]:
    """What `promtool check rules` finds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(yaml.safe_dump({"groups": groups}))
        return promtool("check", "rules", "--lint-fatal", str(path))


def rule_problems(rule: Mapping[str, Any], known: Mapping[str, Known]) -> Iterator[str]:
    """What is wrong with one rule beyond its syntax."""
    problems = query_problems(rule["expr"], known)
    yield from problems
    if "@" in json.dumps(rule):
        yield "a value was not put in: templates/_rules.tpl"
    if problems:
        return
    yield from _record_problems(rule) if "record" in rule else _alert_problems(rule, known)


def _record_problems(rule: Mapping[str, Any]) -> Iterator[str]:
    labels = tuple(rule["record"].split(":")[0].split("_"))
    for use in uses(rule["expr"]):
        if use.groupings != [labels]:
            yield f"{use.metric} is not grouped by {', '.join(labels)}, as the name says"


def _alert_problems(rule: Mapping[str, Any], known: Mapping[str, Known]) -> Iterator[str]:
    for key in ("summary", "description"):
        text = rule.get("annotations", {}).get(key)
        if not text:
            yield f"has no {key}"
            continue
        for label in set(_LABEL.findall(text)) - kept_labels(rule["expr"], known):
            yield f"{key} tells {label}, which the query does not keep"
    link = rule.get("annotations", {}).get("runbook_url", "")
    if not link.endswith(f"/{rule['alert']}.md"):
        yield "links no runbook of its own"
    if rule.get("labels", {}).get("severity") not in _SEVERITIES:
        yield f"severity is none of {', '.join(sorted(_SEVERITIES))}"


def check_dashboards(renders: Iterable[Render]) -> Outcome:
    """All queries of all dashboards."""
    outcome = Outcome()
    for render in renders:
        identities = Counter[str]()
        for item in render.of_kind("ConfigMap"):
            for name, text in (item.get("data") or {}).items():
                if not name.endswith(".json") or "dashboard" not in item["metadata"]["name"]:
                    continue
                where = f"{render.name}: {name}"
                try:
                    board = json.loads(text)
                except ValueError as error:
                    outcome.problems.append(f"{where}: is no JSON: {error}")
                    continue
                identities[board["uid"]] += 1
                outcome.problems += [f"{where}: {line}" for line in board_problems(board)]
                for panel, target in targets(board):
                    of_query = f"{where}: {panel['title']} {target['refId']}"
                    outcome.look(f"{of_query}: {line}" for line in target_problems(target, board))
        outcome.problems += [
            f"{render.name}: uid {uid} is of {count} dashboards"
            for uid, count in identities.items()
            if count > 1
        ]
    return outcome


def targets(board: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every query with its panel."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel, target


def board_problems(board: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a dashboard beside its queries' metrics."""
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    ids = Counter(panel["id"] for panel in board["panels"])
    yield from (f"panel id {number} is given {n} times" for number, n in ids.items() if n > 1)
    for panel in panels:
        if not panel.get("targets"):
            yield f"{panel['title']}: asks for nothing"
        if not panel.get("description"):
            yield f"{panel['title']}: says not what it shows"
    taken = Counter[tuple[int, int]](
        (grid["x"] + x, grid["y"] + y)
        for grid in (panel["gridPos"] for panel in board["panels"])
        for x in range(grid["w"])
        for y in range(grid["h"])
    )
    if taken and (max(taken.values()) > 1 or max(x for x, _ in taken) >= 24):
        yield "panels overlap, or are wider than the page"
    queries = [_as_prometheus_sees(target["expr"]) for _, target in targets(board)]
    rules = [{"record": f"q:{index}", "expr": query} for index, query in enumerate(queries)]
    yield from syntax_problems([{"name": board["uid"], "rules": rules}]) if rules else ()


def target_problems(target: Mapping[str, Any], board: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one query of a dashboard."""
    query = target["expr"]
    variables = {entry["name"] for entry in board["templating"]["list"]} | set(_OF_GRAFANA)
    yield from (f"${name} is no variable" for name in set(_VARIABLE.findall(query)) - variables)
    known = declared()
    problems = query_problems(query, known)
    yield from problems
    if not problems:
        legend = set(_LEGEND.findall(target["legendFormat"]))
        yield from (
            f"the legend tells {label}, which the query does not keep"
            for label in sorted(legend - kept_labels(query, known))
        )


def _as_prometheus_sees(query: str) -> str:
    for name, value in _OF_GRAFANA.items():
        query = query.replace(f"${name}", value)
    return query
