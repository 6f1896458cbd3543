"""The chart's list of pools."""

from __future__ import annotations

from pathlib import Path

import pytest

from facet.autoscaler.pools_file import ScaledPool, deployments_of, read_pools

pytestmark = pytest.mark.unit


def written(folder: Path, text: str) -> Path:
    file = folder / "pools.json"
    file.write_text(text)
    return file


def test_pools_come_in_order_when_the_chart_wrote_them(tmp_path: Path) -> None:
    text = """{"pools": [
      {"name": "spot", "profile": "fp8", "deployment": "facet-worker-spot", "min": 0, "max": 4,
       "spot": true, "price_per_hour": 0.3},
      {"name": "steady", "profile": "fp8", "deployment": "facet-worker-steady", "min": 1, "max": 2,
       "spot": false, "price_per_hour": 0.8, "startup_seconds": 90}
    ]}"""
    first, second = (each.settings for each in read_pools(written(tmp_path, text)))
    assert (first.name, first.is_spot, first.max_pods, first.price_per_hour) == (
        "spot",
        True,
        4,
        0.3,
    )
    assert (second.name, second.min_pods, second.startup_seconds) == ("steady", 1, 90)
    assert first.startup_seconds > 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ('{"pools": []}', "pools: "),
        ('{"pools": [{"name": "a", "max": -1}]}', "pools.0.max: "),
        ('{"pools": [{"name": "a", "maximum": 1}]}', "pools.0.maximum: "),
        ('{"pools": [{"name": "a"}, {"name": "a"}]}', "two have one name"),
    ],
)
def test_the_fault_is_named_when_the_file_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refusal:
        read_pools(written(tmp_path, text))
    assert str(tmp_path / "pools.json") in str(refusal.value)


def test_deployments_are_told_by_pool() -> None:
    pools = [ScaledPool(name="a", deployment="worker-a"), ScaledPool(name="b", deployment="b")]

    assert deployments_of(pools) == {"a": "worker-a", "b": "b"}


@pytest.mark.parametrize(
    ("deployments", "told"),
    [(("one", ""), "pool b: standalone needs its deployment"), (("one", "one"), "two scale one")],
)
def test_pools_are_refused_when_each_does_not_scale_one_of_its_own(
    deployments: tuple[str, ...], told: str
) -> None:
    pools = [ScaledPool(name=n, deployment=d) for n, d in zip("ab", deployments, strict=True)]
    with pytest.raises(ValueError, match=told):
        deployments_of(pools)
