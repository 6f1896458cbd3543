"""The NVIDIA driver that the CUDA build of vLLM needs, checked before it is imported."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from facet.worker.engine.port import EngineSettingsError

OLDEST_MAJOR = 580
"""vLLM 0.32.0 is built with CUDA 13.0, whose release notes ask for this driver."""

_VERSION_FILE = Path("/proc/driver/nvidia/version")
_KERNEL_MODULE = re.compile(r"^NVRM version:.*?\s(\d+)\.[\d.]+\s", re.MULTILINE)

_REMEDY = (
    f"the CUDA build of vLLM needs driver {OLDEST_MAJOR} or newer; on GKE create the node pool "
    "with --accelerator=...,gpu-driver-version=latest, elsewhere update the driver, or run the "
    "image facet-worker-cpu"
)


def check_driver() -> None:
    """Return if this is the CPU build or the driver is new enough. Errors: EngineSettingsError."""
    try:
        version("vllm")
    except PackageNotFoundError:
        return
    check_major(driver_major())


def check_major(major: int | None) -> None:
    """Errors: EngineSettingsError, in one line, for an old driver or none."""
    if major is None:
        raise EngineSettingsError(f"no NVIDIA driver is visible here; {_REMEDY}")
    if major < OLDEST_MAJOR:
        raise EngineSettingsError(f"the NVIDIA driver is version {major}; {_REMEDY}")


def driver_major(version_file: Path = _VERSION_FILE) -> int | None:
    """Major version of the driver by its kernel module, else by NVML; None: neither tells."""
    try:
        match = _KERNEL_MODULE.search(version_file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        match = None
    return int(match[1]) if match else _nvml_major()


def _nvml_major() -> int | None:
    if importlib.util.find_spec("pynvml") is None:
        return None
    import pynvml  # noqa: PLC0415 - there only with the CUDA build

    try:
        pynvml.nvmlInit()
        told = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError:
        return None
    return int(str(told).partition(".")[0])
