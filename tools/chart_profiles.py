"""What the chart knows of the profiles, from the catalogue: `python -m tools.chart_profiles`."""

from __future__ import annotations

import difflib
import sys
from dataclasses import asdict
from typing import Any

import yaml

from facet.profiles.catalogue import PROFILES
from facet.profiles.profile import GIB, KIB, Device, Profile
from tools.checks import ROOT

FILE = ROOT / "deploy" / "helm" / "facet" / "files" / "profiles.yaml"

_HEADER = "# Generated from facet.profiles.catalogue by tools/chart_profiles.py: make gen.\n"
_CACHE_GIB = 2
"""Beside the checkpoint: compiled kernels, logs, and what a broken download leaves behind."""


def render() -> str:
    """The file, as it has to be."""
    values = {name: profile_values(profile) for name, profile in PROFILES.items()}
    return _HEADER + yaml.safe_dump(values, sort_keys=False)


def profile_values(profile: Profile) -> dict[str, Any]:
    """One profile; sizes in Kubernetes' notation, but for `downloadBytes`."""
    resources = profile.resources
    requests = {"cpu": str(resources.cpu), "memory": quantity(resources.memory_mib)}
    limits = {"memory": quantity(resources.memory_limit_mib)}
    if profile.device is Device.CPU:
        # Compute threads are counted from the limit.
        limits = {"cpu": str(resources.cpu), **limits}
    if resources.gpus:
        limits["nvidia.com/gpu"] = str(resources.gpus)
    download = profile.download_bytes
    return {
        "model": profile.model,
        "device": profile.device.value,
        "target": profile.target.source,
        "drafter": profile.drafter.source,
        "downloadBytes": download,
        "disk": f"{-(-download // GIB) + _CACHE_GIB}Gi",
        "startSeconds": resources.start_seconds,
        "sharedMemory": quantity(resources.shared_memory_mib),
        "estimates": asdict(profile.estimates),
        "resources": {"requests": requests, "limits": limits},
        "nodeSelectors": list(profile.placement.selectors()),
        "tolerations": _tolerations(profile),
    }


def quantity(mib: int) -> str:
    """MiB in Kubernetes' notation."""
    return f"{mib}Mi" if mib % KIB else f"{mib // KIB}Gi"


def differences() -> str:
    """How the committed file differs from the catalogue, as a diff; empty where it does not."""
    kept = FILE.read_text() if FILE.exists() else ""
    lines = difflib.unified_diff(
        kept.splitlines(), render().splitlines(), f"committed {FILE.name}", "catalogue", lineterm=""
    )
    return "\n".join(lines)


def main() -> int:
    """Write the file anew."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(render())
    return 0


def _tolerations(profile: Profile) -> list[dict[str, str]]:
    if not profile.placement.tolerates_gpu:
        return []
    return [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


if __name__ == "__main__":
    sys.exit(main())
