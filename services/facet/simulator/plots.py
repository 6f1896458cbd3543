"""PNG plots of each policy's run: load, pods, age of the queue, TTFT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facet.simulator.comparison import Outcome
from facet.simulator.simulation import SAMPLE_SECONDS


def draw(outcomes: Sequence[Outcome], slo_seconds: float, directory: Path) -> list[Path]:
    """Write a file a policy; their paths. Errors: OSError where they cannot be written."""
    # It takes a second to import, and most runs draw nothing.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib.figure import Figure  # noqa: PLC0415

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for outcome in outcomes:
        figure = Figure(figsize=(10, 9), layout="constrained")
        _fill(figure, outcome, slo_seconds)
        path = directory / f"{outcome.policy}.png"
        figure.savefig(path)
        paths.append(path)
    return paths


def _fill(figure: Any, outcome: Outcome, slo_seconds: float) -> None:
    samples = outcome.measures.samples
    hours = [each.at_seconds / 3600 for each in samples]
    load, pods, age, ttft = figure.subplots(4, 1, sharex=True)
    figure.suptitle(
        f"{outcome.policy}: {outcome.measures.attainment:.2%} within {slo_seconds:g} s, "
        f"{outcome.measures.pod_hours:.1f} pod hours"
    )
    load.plot(hours, [each.arrived / SAMPLE_SECONDS for each in samples])
    load.set_ylabel("requests a second")
    pods.step(hours, [each.paid_pods for each in samples], where="post", label="paid")
    pods.step(hours, [each.ready_pods for each in samples], where="post", label="ready")
    pods.set_ylabel("pods")
    pods.legend(loc="upper left")
    age.plot(hours, [each.oldest_seconds for each in samples])
    age.set_ylabel("oldest waiting, s")
    ttft.plot(hours, [each.ttft_seconds for each in samples])
    ttft.axhline(slo_seconds, color="tab:red", linewidth=1)
    ttft.set_ylabel("worst TTFT, s")
    ttft.set_xlabel("hours")
