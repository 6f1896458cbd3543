"""The chart's list of pools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facet.autoscaler.coefficients import ServiceCoefficients
from facet.autoscaler.pools_file import ScaledPool, deployments_of, read_pools
from facet.autoscaler.work import Modality

pytestmark = pytest.mark.unit


STEADY: dict[str, Any] = {
    "name": "steady",
    "profile": "fp8",
    "deployment": "facet-worker-steady",
    "min": 1,
    "max": 2,
    "spot": False,
    "price_per_hour": 0.8,
    "gpus": 1,
    "max_sequences": 9,
    "startup_seconds": 240,
    "prefill_token_seconds": 0.0002,
    "step_base_seconds": 0.056,
    "step_sequence_seconds": 0.0009,
    "tokens_per_step": 1.7,
}
WITHOUT_GPUS = {key: value for key, value in STEADY.items() if key != "gpus"}


def written(folder: Path, *pools: dict[str, Any]) -> Path:
    file = folder / "pools.json"
    file.write_text(json.dumps({"pools": pools}))
    return file


def scaled(name: str, deployment: str) -> ScaledPool:
    return ScaledPool(**{**STEADY, "name": name, "deployment": deployment})


def test_pools_come_in_order_when_the_chart_wrote_them(tmp_path: Path) -> None:
    spot = {**STEADY, "name": "spot", "min": 0, "max": 4, "spot": True, "price_per_hour": 0.3}
    first, second = (each.settings for each in read_pools(written(tmp_path, spot, STEADY)))

    assert (first.name, first.is_spot, first.max_pods, first.price_per_hour) == (
        "spot",
        True,
        4,
        0.3,
    )
    assert (second.name, second.min_pods, second.gpus) == ("steady", 1, 1)
    assert (second.max_sequences, second.startup_seconds) == (9, 240)
    assert second.coefficients == ServiceCoefficients(
        prefill_token_seconds=dict.fromkeys(Modality, 0.0002),
        step_base_seconds=0.056,
        step_sequence_seconds=0.0009,
        tokens_per_step=1.7,
    )


@pytest.mark.parametrize(
    ("pools", "told"),
    [
        ([], "pools: "),
        ([{**STEADY, "max": -1}], "pools.0.max: "),
        ([{**STEADY, "maximum": 1}], "pools.0.maximum: "),
        ([WITHOUT_GPUS], "pools.0.gpus: "),
        ([STEADY, STEADY], "two have one name"),
    ],
)
def test_the_fault_is_named_when_the_file_is_wrong(
    tmp_path: Path, pools: list[dict[str, Any]], told: str
) -> None:
    with pytest.raises(ValueError, match=told) as refusal:
        read_pools(written(tmp_path, *pools))
    assert str(tmp_path / "pools.json") in str(refusal.value)


def test_the_file_is_named_when_it_is_no_json(tmp_path: Path) -> None:
    file = tmp_path / "pools.json"
    file.write_text("{")

    with pytest.raises(ValueError, match="no JSON") as refusal:
        read_pools(file)
    assert str(file) in str(refusal.value)


def test_deployments_are_told_by_pool() -> None:
    pools = [scaled("a", "worker-a"), scaled("b", "b")]

    assert deployments_of(pools) == {"a": "worker-a", "b": "b"}


@pytest.mark.parametrize(
    ("deployments", "told"),
    [(("one", ""), "pool b: standalone needs its deployment"), (("one", "one"), "two scale one")],
)
def test_pools_are_refused_when_each_does_not_scale_one_of_its_own(
    deployments: tuple[str, ...], told: str
) -> None:
    pools = [scaled(n, d) for n, d in zip("ab", deployments, strict=True)]
    with pytest.raises(ValueError, match=told):
        deployments_of(pools)
