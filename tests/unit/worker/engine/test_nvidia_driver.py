"""The driver check of the CUDA build."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from facet.worker.engine import nvidia_driver
from facet.worker.engine.nvidia_driver import check_driver, check_major, driver_major
from facet.worker.engine.port import EngineSettingsError

pytestmark = pytest.mark.unit

CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39 UTC\n"
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs)\n"
    "GCC version:  gcc version 12.2.0\n"
)


def nvml(told: str | None) -> ModuleType:
    """A stand-in for pynvml; None: the library is not there."""

    class NVMLError(Exception):
        pass

    def init() -> None:
        if told is None:
            raise NVMLError("NVML Shared Library Not Found")

    module = ModuleType("pynvml")
    module.__spec__ = sys.__spec__
    vars(module).update(NVMLError=NVMLError, nvmlInit=init, nvmlSystemGetDriverVersion=lambda: told)
    return module


@pytest.mark.parametrize(("text", "major"), [(CLOSED, 535), (OPEN, 580)])
def test_major_is_the_kernel_modules_when_it_tells(tmp_path: Path, text: str, major: int) -> None:
    file = tmp_path / "version"
    file.write_text(text)

    assert driver_major(file) == major


@pytest.mark.parametrize("told", ["575.57.08", None])
def test_nvml_is_asked_when_the_kernel_module_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(told))

    assert driver_major(tmp_path / "none") == (575 if told else None)


def test_there_is_no_driver_when_nothing_tells_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert driver_major(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("major", "told"),
    [(None, "no NVIDIA driver is visible"), (579, "the NVIDIA driver is version 579")],
)
def test_refusal_is_one_line_with_a_remedy_when_the_driver_is_old_or_missing(
    major: int | None, told: str
) -> None:
    with pytest.raises(EngineSettingsError) as refusal:
        check_major(major)

    assert str(refusal.value).startswith(told)
    assert "580 or newer" in str(refusal.value)
    assert "gpu-driver-version=latest" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_driver_passes_when_it_is_new_enough() -> None:
    check_major(580)
    check_major(590)


def test_driver_is_asked_for_only_when_the_cuda_build_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nvidia_driver, "driver_major", lambda: None)
    check_driver()

    monkeypatch.setattr(nvidia_driver, "version", lambda name: "0.32.0")
    with pytest.raises(EngineSettingsError, match="no NVIDIA driver"):
        check_driver()
