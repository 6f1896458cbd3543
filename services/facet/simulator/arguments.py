"""The command line of `facet simulate`."""

from __future__ import annotations

import argparse
import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

from facet.simulator.comparison import POLICIES, Options
from facet.simulator.pod_model import SHIPPED
from facet.simulator.workloads.synthetic import SYNTHETIC


@dataclass(frozen=True)
class Arguments:
    """What to compare, and where it goes."""

    options: Options
    is_json: bool
    plots: Path | None


def parse(argv: list[str] | None = None) -> Arguments:
    """Errors: SystemExit with 2 and one line for wrong arguments."""
    given = _parser().parse_args(argv)
    options = Options(
        trace=given.trace,
        workload=given.workload,
        policies=given.policies,
        pod_model=given.pod_model,
        peak_pods=given.peak_pods,
        cold_start_seconds=given.cold_start_seconds,
        ttft_slo_seconds=given.ttft_slo_seconds,
        time_scale=given.time_scale,
        warm_up_seconds=given.warm_up_seconds,
        batch_share=given.batch_share,
        spot_losses=given.spot_losses_per_hour,
        failures=given.failures_per_hour,
        stock_out=given.stock_out,
        seed=given.seed,
    )
    return Arguments(options, given.json, given.plots)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facet simulate",
        description="Compare scaling policies on a load, by simulation.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    load = parser.add_mutually_exclusive_group()
    load.add_argument("--trace", type=Path, metavar="FILE", help="CSV of requests to play")
    load.add_argument("--workload", choices=tuple(SYNTHETIC), default="diurnal", help="or a load")
    parser.add_argument(
        "--policies",
        type=_policies,
        default=POLICIES,
        metavar="NAMES",
        help=f"all, or some of {', '.join(POLICIES)}, with commas",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a policy")
    parser.add_argument("--cold-start-seconds", type=_positive, default=240.0, metavar="S")
    parser.add_argument(
        "--ttft-slo-seconds", type=_positive, default=2.0, metavar="S", help="of interactive ones"
    )
    parser.add_argument(
        "--pod-model", type=Path, metavar="FILE", help=f"JSON; {SHIPPED.stem} where it is left out"
    )
    parser.add_argument(
        "--peak-pods",
        type=_count,
        default=40,
        metavar="N",
        help="scale the load so that its peak needs so many pods; 0 leaves it as it is",
    )
    parser.add_argument(
        "--time-scale", type=_positive, default=1.0, metavar="X", help="stretch the load's time"
    )
    parser.add_argument(
        "--warm-up-seconds",
        type=_rate,
        default=1800.0,
        metavar="S",
        help="play the load's first minutes before it for so long, unmeasured",
    )
    parser.add_argument(
        "--batch-share", type=_share, default=0.0, metavar="X", help="of requests that may wait"
    )
    parser.add_argument(
        "--spot-losses-per-hour",
        type=_rate,
        default=0.0,
        metavar="X",
        help="give facet a pool of spot pods as well, each lost so often",
    )
    parser.add_argument(
        "--stock-out",
        type=_span,
        metavar="FROM-TO",
        help="seconds in which no new spot pod gets a node",
    )
    parser.add_argument(
        "--failures-per-hour", type=_rate, default=0.0, metavar="X", help="of each pod's engine"
    )
    parser.add_argument("--seed", type=_count, default=0, metavar="N")
    parser.add_argument("--plots", type=_plots, metavar="DIR", help="write a PNG a policy there")
    return parser


def _policies(value: str) -> tuple[str, ...]:
    if value == "all":
        return POLICIES
    names = tuple(value.split(","))
    if unknown := [name for name in names if name not in POLICIES]:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is no policy: all, or some of {', '.join(POLICIES)}"
        )
    return tuple(dict.fromkeys(names))


def _plots(value: str) -> Path:
    # Told before a long run, and only to those who want plots.
    if importlib.util.find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("plots need matplotlib: pip install 'facet[simulator]'")
    return Path(value)


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"a number is wanted, not {value!r}")
    return number


def _positive(value: str) -> float:
    if (number := _number(value)) <= 0:
        raise argparse.ArgumentTypeError(f"a number above 0 is wanted, not {value!r}")
    return number


def _rate(value: str) -> float:
    if (number := _number(value)) < 0:
        raise argparse.ArgumentTypeError(f"a number of at least 0 is wanted, not {value!r}")
    return number


def _share(value: str) -> float:
    if not 0 <= (number := _number(value)) < 1:
        raise argparse.ArgumentTypeError(f"a share of at least 0 and below 1 is wanted: {value!r}")
    return number


def _count(value: str) -> int:
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number of at least 0 is wanted, not {value!r}")
    return int(value)


def _span(value: str) -> tuple[float, float]:
    begin, dash, end = value.partition("-")
    if not dash or _rate(begin) >= _rate(end):
        raise argparse.ArgumentTypeError(
            f"two growing seconds such as 600-1800 are wanted: {value!r}"
        )
    return _rate(begin), _rate(end)
