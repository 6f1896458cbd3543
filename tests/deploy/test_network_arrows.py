"""Each allowed and each denied connection of the chart, for every set of CI values."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import helm
from tools.deploy_check.arrows import check_network, expected, matrix, scene
from tools.deploy_check.network import policies_of
from tools.deploy_check.renders import (
    Manifest,
    Render,
    all_renders,
    laid_over,
    load_objects,
)

pytestmark = pytest.mark.integration

renders = cache(all_renders)


def with_policies() -> list[Render]:
    return [render for render in renders() if render.values["networkPolicy"]["enabled"]]


@pytest.mark.parametrize("blocks_match_pods", [False, True])
def test_connections_are_those_of_the_table(blocks_match_pods: bool) -> None:
    assert len(with_policies()) >= 3
    for render in with_policies():
        surroundings = scene(render)
        policies = policies_of(render.objects, blocks_match_pods=blocks_match_pods)

        opened = {
            (source.name, destination.name, port)
            for source, destination, port, is_allowed in matrix(surroundings, policies)
            if is_allowed
        }

        assert opened == expected(render, surroundings), render.name
        assert len(opened) >= 20


def opened(render: Render) -> set[tuple[str, str, str]]:
    """All connections that the policies of a render admit, by names of peers and ports."""
    policies = policies_of(render.objects, blocks_match_pods=False)
    return {
        (source.name, destination.name, str(port))
        for source, destination, port, is_allowed in matrix(scene(render), policies)
        if is_allowed
    }


def with_values(name: str, change: Manifest, folder: Path) -> Render:
    """The render of some CI values with others laid over them."""
    (render,) = [found for found in renders() if found.name == name]
    values = laid_over(render.values, change)
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    done = helm.template(path)
    assert done.returncode == 0, done.stderr
    return Render(name, load_objects(done.stdout), values)


@pytest.mark.parametrize("number", [6380, 11000, 12023, 13047])
def test_ranges_of_an_external_redis_are_open_when_they_are_given(number: int) -> None:
    (render,) = [found for found in renders() if found.name == "external-redis"]
    ends = {port for _, name, port in opened(render) if name.startswith("external-redis")}

    assert f"{number}/TCP" in ends
    assert not {"10999/TCP", "13048/TCP", "6379/TCP"} & ends


def test_all_ports_of_an_external_redis_are_open_when_none_is_given(tmp_path: Path) -> None:
    render = with_values("external-redis", {"redis": {"external": {"ports": []}}}, tmp_path)

    assert check_network([render]).problems == []
    found = opened(render)
    assert ("Deployment/facet-gateway", "external-redis (10.0.0.3/32)", "10999/TCP") in found


@pytest.mark.parametrize(
    ("name", "key", "source", "host"),
    [
        ("gke-h100", "tokenKeysTo", "Deployment/facet-gateway", "tokenKeysTo[0]"),
        ("gke-l4-spot", "weightsTo", "Deployment/facet-worker-spot", "weightsTo[0]"),
    ],
)
def test_the_web_is_as_wide_as_it_is_given(
    name: str, key: str, source: str, host: str, tmp_path: Path
) -> None:
    def reached(render: Render) -> set[str]:
        assert check_network([render]).problems == []
        return {
            destination.partition(" ")[0]
            for origin, destination, port in opened(render)
            if origin == source and port == "443/TCP"
        }

    block = {"ipBlock": {"cidr": "10.9.0.0/24"}}
    narrow = with_values(name, {"networkPolicy": {key: [block]}}, tmp_path)
    closed = with_values(name, {"networkPolicy": {key: []}}, tmp_path)

    assert reached(with_values(name, {}, tmp_path)) == {"internet", "balancer"}
    assert reached(narrow) == {host}
    assert reached(closed) == set()


def test_a_collector_of_ones_own_is_reached_on_its_port(tmp_path: Path) -> None:
    otel = {"endpoint": "http://collector.observability:4319"}
    render = with_values("standalone", {"otel": otel}, tmp_path)

    assert check_network([render]).problems == []
    found = {
        who for who, whom, port in opened(render) if (whom, port) == ("otel.to[0]", "4319/TCP")
    }
    assert found == {f"Deployment/facet-{name}" for name in ("gateway", "worker-cpu", "autoscaler")}


def changed(change: Callable[[Manifest], None], name: str) -> Render:
    """The default render with one policy changed."""
    (render,) = [found for found in renders() if found.name == "default"]
    objects = copy.deepcopy(render.objects)
    (policy,) = [
        item
        for item in objects
        if item["kind"] == "NetworkPolicy" and item["metadata"]["name"].endswith(name)
    ]
    change(policy["spec"])
    return Render(render.name, objects, render.values)


def _drop_ingress(spec: Manifest) -> None:
    spec["ingress"] = []


def _open_egress(spec: Manifest) -> None:
    spec["egress"].append({})


def _admit_block(spec: Manifest) -> None:
    spec["ingress"].append({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]})


def _admit_all_namespaces(spec: Manifest) -> None:
    spec["ingress"][0]["from"] = [{"namespaceSelector": {}}]


def _forget_egress(spec: Manifest) -> None:
    del spec["policyTypes"], spec["egress"]


def _select_nothing(spec: Manifest) -> None:
    spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] = "nothing"


@pytest.mark.parametrize(
    ("change", "name", "told"),
    [
        (_drop_ingress, "redis", "gateway -> StatefulSet/facet-redis 6379/TCP is cut off"),
        (_drop_ingress, "gateway", "client -> Deployment/facet-gateway 8470/TCP is cut off"),
        (_open_egress, "worker", "-> internet (198.51.100.7) 443/TCP is open"),
        (_admit_block, "redis", "client -> StatefulSet/facet-redis 6379/TCP is open"),
        (_admit_all_namespaces, "redis", "impostor -> StatefulSet/facet-redis 6379/TCP is open"),
        (_forget_egress, "gateway", "gateway -> internet (198.51.100.7) 443/TCP is open"),
        (_select_nothing, "redis", "stranger -> StatefulSet/facet-redis 6379/TCP is open"),
    ],
)
def test_a_connection_is_told_when_policies_and_table_part(
    change: Callable[[Any], None], name: str, told: str
) -> None:
    outcome = check_network([changed(change, name)])

    assert [problem for problem in outcome.problems if told in problem], outcome.problems[:5]


def test_a_component_is_told_when_the_table_does_not_know_it() -> None:
    render = changed(lambda spec: None, "redis")
    workload = next(item for item in render.objects if item["kind"] == "StatefulSet")
    workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] = "cache"

    (problem,) = check_network([render]).problems

    assert "no arrows for component 'cache'" in problem
