"""Golden renders of the chart: `python -m tools.golden` writes what `make verify` compares."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from tools import helm
from tools.checks import ROOT

GOLDEN = ROOT / "tests" / "deploy" / "golden"


def render(values: Path) -> str:
    """What the chart renders with these values."""
    done = helm.template(values)
    if done.returncode != 0:
        raise RuntimeError(f"{values.name}: {done.stderr.strip()}")
    return done.stdout


def golden_path(values: Path) -> Path:
    """Where the render of `ci/NAME-values.yaml` is kept."""
    return GOLDEN / f"{values.name.removesuffix('-values.yaml')}.yaml"


def differences() -> str:
    """How the committed renders differ from the chart, as a diff; empty where they do not."""
    expected = {golden_path(values): render(values) for values in helm.values_files()}
    lines = [
        f"{path.name} belongs to no values file"
        for path in sorted(GOLDEN.glob("*.yaml"))
        if path not in expected
    ]
    for path, fresh in expected.items():
        kept = path.read_text() if path.exists() else ""
        lines += difflib.unified_diff(
            kept.splitlines(), fresh.splitlines(), f"committed {path.name}", "chart", lineterm=""
        )
    return "\n".join(lines)


def main() -> int:
    """Write all renders anew."""
    for path in GOLDEN.glob("*.yaml"):
        path.unlink()
    for values in helm.values_files():
        golden_path(values).write_text(render(values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
