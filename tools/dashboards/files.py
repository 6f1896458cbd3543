"""The dashboards as the chart carries them."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

from tools.dashboards.panels import document
from tools.dashboards.running import AUTOSCALING, COST, ENGINE, SPECULATION
from tools.dashboards.serving import LATENCY, QUEUE, TRAFFIC
from tools.helm import CHART

FOLDER = CHART / "files" / "dashboards"
DASHBOARDS = (TRAFFIC, LATENCY, QUEUE, ENGINE, SPECULATION, AUTOSCALING, COST)


def texts() -> dict[Path, str]:
    """What each file has to hold."""
    return {
        FOLDER / f"{each.name}.json": json.dumps(document(each), indent=2) + "\n"
        for each in DASHBOARDS
    }


def differences() -> str:
    """How the committed files differ from the table, as a diff; empty where they do not."""
    expected = texts()
    lines = [f"{path.name} is in no table" for path in FOLDER.glob("*") if path not in expected]
    for path, fresh in expected.items():
        kept = path.read_text() if path.exists() else ""
        lines += difflib.unified_diff(
            kept.splitlines(), fresh.splitlines(), f"committed {path.name}", "table", lineterm=""
        )
    return "\n".join(lines)


def write() -> int:
    """Write all files anew; 0."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*"):
        path.unlink()
    for path, text in texts().items():
        path.write_text(text)
    return 0
