"""`facet simulate`: parse, compare, print."""

from __future__ import annotations

import json
import sys
from typing import NoReturn

from facet.simulator import plots, report
from facet.simulator.arguments import parse
from facet.simulator.comparison import compare
from facet.simulator.pod_model import SHIPPED, PodModelError, load
from facet.simulator.workloads.trace import TraceError

_USAGE = 2
_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> None:
    """Print one line a policy. Exits with 2 and one line where a file is wrong."""
    arguments = parse(argv)
    options = arguments.options
    try:
        model = load(options.pod_model or SHIPPED)
        outcomes = list(compare(options, model, _tell))
        if arguments.plots:
            for path in plots.draw(outcomes, options.ttft_slo_seconds, arguments.plots):
                _tell("plots", str(path))
    except (TraceError, PodModelError, OSError) as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    if arguments.is_json:
        lines = [json.dumps(each) for each in report.values(options, outcomes)]
    else:
        lines = report.table(options, outcomes)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _tell(policy: str, what: str) -> None:
    sys.stderr.write(f"{policy}: {what}\n")
    sys.stderr.flush()


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"facet simulate: {reason}\n")
    raise SystemExit(_USAGE)
