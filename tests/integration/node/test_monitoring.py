"""Dashboards and rules of the chart over a whole node, asked of a real Prometheus."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import facet
from tests.support.conditions import until
from tests.support.prometheus_server import PrometheusServer, prometheus
from tests.support.running_node import SIMULATED, RunningNode
from tools import helm
from tools.dashboards.files import DASHBOARDS
from tools.deploy_check.monitoring import rule_groups

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

VALUES: dict[str, Any] = {
    "global": {"localImages": True},
    "auth": {"existingSecret": "keys"},
    "redis": {"auth": {"existingSecret": "redis-password"}},
    "monitoring": {"from": [{"podSelector": {}}], "rules": {"kind": "configMap"}},
}
# A node has no autoscaler, and nothing here fails, is refused, lost, drained, or has media.
SILENT = {
    ("traffic", "Failures by reason"),
    ("traffic", "Refused by quota"),
    ("traffic", "Media"),
    ("engine", "Resumed"),
    ("engine", "Drained"),
    ("speculation", "Share at the last judgement"),
    ("cost", "Cost an hour"),
    ("cost", "Cost of a million output tokens"),
    ("cost", "GPU seconds by model and tenant"),
}
SERVING = [board for board in DASHBOARDS if board.name != "autoscaling"]


def groups_of_the_chart(folder: Path) -> list[dict[str, Any]]:
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(VALUES))
    done = helm.template(path)
    assert done.returncode == 0, done.stderr
    items = [item for item in yaml.safe_load_all(done.stdout) if item]
    return [group for item in items for group in rule_groups(item)]


def listeners(node: RunningNode) -> set[str]:
    """Where the processes of a node serve their metrics, by their logs."""
    text = "".join(path.read_text() for path in (node.state_dir / "logs").glob("*.log"))
    ready = re.findall(r"^READY .*\bmetrics=(\S+)", text, re.MULTILINE)
    told = [
        json.loads(line)["address"] for line in text.splitlines() if '"metrics.listening"' in line
    ]
    return {*ready, *told}


def queries() -> Iterator[tuple[tuple[str, str], str]]:
    """What all dashboards but the autoscaler's ask, as they do it with nothing chosen."""
    for board in SERVING:
        for _, panels in board.rows:
            for panel in panels:
                for line in panel.lines:
                    query = line.expr.replace("$__rate_interval", "30s")
                    yield (board.name, panel.title), re.sub(r"\$(namespace|model)", ".*", query)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path_factory.mktemp("node"), SIMULATED)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def server(
    node: RunningNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    node.address()
    folder = tmp_path_factory.mktemp("prometheus")
    targets = listeners(node)
    assert len(targets) >= 2
    with prometheus(folder, targets, groups_of_the_chart(folder)) as running:
        yield running


async def generate_until(node: RunningNode, condition: Callable[[], bool]) -> None:
    """Ask and ask until it holds."""
    async with facet.AsyncClient(node.address().split()[0]) as client:

        async def asked() -> bool:
            await client.generate("Reverse the words: one two", max_output_tokens=8)
            return condition()

        await until(asked, seconds=60.0)


async def test_panels_show_what_a_node_does(node: RunningNode, server: PrometheusServer) -> None:
    async def is_ready() -> bool:
        return await asyncio.to_thread(server.is_ready)

    await until(is_ready, seconds=20.0)
    empty: set[tuple[str, str]] = set()

    def all_show() -> bool:
        empty.clear()
        empty.update(panel for panel, query in queries() if not server.query(query))
        return empty <= SILENT

    try:
        await generate_until(node, all_show)
    except TimeoutError:
        assert empty <= SILENT
        raise


async def test_rules_are_judged_and_record_when_a_node_serves(
    node: RunningNode, server: PrometheusServer
) -> None:
    recorded = (
        "namespace_model_class:facet_ttft_late:ratio_rate5m",
        "namespace_model_class:facet_ttft:increase1h",
        "namespace_model:facet_requests_failed:ratio_rate5m",
    )

    def all_recorded() -> bool:
        judged = all(rule["health"] != "unknown" for rule in server.rules())
        return judged and all(server.query(name) for name in recorded)

    await generate_until(node, all_recorded)
    assert [rule["name"] for rule in server.rules() if rule["health"] != "ok"] == []
    # Only the simulated engine stands between a call and its first token.
    (late,) = {float(each["value"][1]) for each in server.query(recorded[0])}
    assert late == 0
    assert server.query('ALERTS{alertstate="firing"}') == []
