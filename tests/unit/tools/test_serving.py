"""What set-up says, asks and refuses before it downloads a profile's weights."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from facet.profiles.catalogue import PROFILES, W4A16, W4A16_CPU
from facet.profiles.machine import Machine, exactly
from facet.profiles.profile import GIB
from tools import environment, preflight, serving
from tools.checks import ROOT

pytestmark = pytest.mark.unit

L4 = Machine(exactly(23_034 << 20), exactly(32 * GIB), (8, 9), frozenset({"avx2"}))
LAPTOP = Machine(None, exactly(16 * GIB), None, frozenset({"avx2", "avx512f"}))
TINY = Machine(None, exactly(2 * GIB), None, frozenset({"avx2", "avx512f"}))
NOTHING: Mapping[str, str] = {}
YES = {"YES": "1"}


class Stand:
    """A machine on which nothing is really checked or installed; `brought` holds the locks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.brought: list[str] = []
        self.folder = folder
        self.cache = folder / "cache"
        self._patch = monkeypatch
        monkeypatch.setattr(environment, "check", lambda *_: 0)
        monkeypatch.setattr(environment, "bring", self._bring)
        monkeypatch.setattr(preflight, "check_platform", lambda _: [])

    def _bring(self, _: Path, lock: str) -> int:
        self.brought.append(lock)
        return 0

    def prepare(
        self,
        machine: Machine,
        name: str,
        env: Mapping[str, str] = NOTHING,
        *,
        free: int = 100 * GIB,
        stdin: str = "",
    ) -> int:
        self._patch.setattr(serving, "measure", lambda: machine)
        usage = SimpleNamespace(total=1 << 50, used=0, free=free)
        self._patch.setattr(shutil, "disk_usage", lambda _: usage)
        self._patch.setattr(sys, "stdin", io.StringIO(stdin))
        own = {"FACET_WORKER_WEIGHTS_CACHE": str(self.cache)}
        return serving.prepare(self.folder, name, own | dict(env))


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stand:
    return Stand(monkeypatch, tmp_path)


def cached(cache: Path, source: str) -> None:
    """The least that counts as a whole checkpoint."""
    folder = cache / "hub" / f"models--{source.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").write_text("")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)


@pytest.mark.parametrize(
    "expected",
    [
        (L4, "w4a16", "w4a16", "node-cuda"),
        (L4, "auto", "fp8", "node-cuda"),
        (LAPTOP, "auto", "w4a16-cpu", "node-cpu"),
        (LAPTOP, "w4a16-cpu", "w4a16-cpu", "node-cpu"),
        (LAPTOP, "nano-cpu", "nano-cpu", "node-cpu"),
    ],
)
def test_the_matching_lock_is_installed_when_a_profile_is_chosen(
    expected: tuple[Machine, str, str, str], stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    machine, name, chosen, lock = expected

    assert stand.prepare(machine, name, YES) == 0

    assert stand.brought == [lock]
    assert capsys.readouterr().out == f"{chosen}\n"


def test_downloads_disk_and_speed_are_told_when_weights_are_missing(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stand.prepare(L4, "w4a16", YES) == 0

    said = capsys.readouterr().err
    assert "10.30 GB  google/gemma-4-12B-it-qat-w4a16-ct" in said
    assert "0.85 GB  google/gemma-4-12B-it-assistant" in said
    assert "Python packages of requirements/node-cuda.txt" in said
    assert f"GB needed, {100 * GIB / 1e9:.1f} GB free" in said
    assert W4A16.speed in said


@pytest.mark.parametrize(
    ("name", "env"),
    [
        ("nano-cpu", {}),
        ("w4a16-cpu", {"FACET_WORKER_WEIGHTS": "/models/a", "FACET_WORKER_DRAFTER_WEIGHTS": "./b"}),
    ],
)
def test_nothing_is_asked_when_nothing_is_downloaded(
    name: str, env: dict[str, str], stand: Stand
) -> None:
    assert stand.prepare(LAPTOP, name, env) == 0
    assert stand.brought == ["node-cpu"]


def test_nothing_is_asked_when_the_files_are_in_the_cache(stand: Stand) -> None:
    for checkpoint in (W4A16_CPU.target, W4A16_CPU.drafter):
        cached(stand.cache, checkpoint.source)

    assert stand.prepare(LAPTOP, "w4a16-cpu") == 0
    assert stand.brought == ["node-cpu"]


def test_only_the_rest_is_told_when_a_download_was_broken_off(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs = stand.cache / "hub/models--google--gemma-4-12B-it-qat-w4a16-ct/blobs"
    blobs.mkdir(parents=True)
    with (blobs / "a.partial").open("wb") as sparse:
        sparse.truncate(10_000_000_000)

    assert stand.prepare(LAPTOP, "w4a16-cpu", YES) == 0

    assert "0.30 GB  google/gemma-4-12B-it-qat-w4a16-ct" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "env", "said"),
    [
        ("w4a16", {}, "w4a16 needs a GPU: none is there; the nearest profile that fits is"),
        ("none", {}, f"there are auto, {', '.join(PROFILES)}"),
        ("w4a16-cpu", {}, "YES=1"),
        ("w4a16-cpu", {"YES": "0"}, "YES=1"),
        ("w4a16-cpu", {"FACET_WORKER_WEIGHTS": "no place"}, "is no place of weights"),
        ("w4a16-cpu", {"FACET_WORKER_OFFLINE": "true"}, "FACET_WORKER_OFFLINE forbids"),
    ],
)
def test_it_is_refused_before_anything_is_installed_when_it_cannot_be(
    name: str, env: dict[str, str], said: str, stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stand.prepare(LAPTOP, name, env, stdin="y\n") == serving.REFUSED

    out, err = capsys.readouterr()
    assert out == ""
    assert said in err.splitlines()[-1]
    assert stand.brought == []


def test_it_is_refused_when_no_profile_fits(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stand.prepare(TINY, "auto", YES) == serving.REFUSED

    assert "no profile fits: " in capsys.readouterr().err
    assert stand.brought == []


def test_it_is_refused_when_packages_and_weights_do_not_fit_one_disk(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    """The packages alone would fit, and so would the weights."""
    assert stand.prepare(LAPTOP, "w4a16-cpu", YES, free=16 * GIB) == serving.REFUSED

    assert "too little disk" in capsys.readouterr().err.splitlines()[-1]
    assert stand.brought == []


def test_the_demo_is_refused_when_it_is_not_nanos(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.prepare_demo(stand.folder, "w4a16") == serving.REFUSED
    assert "make run PROFILE=w4a16" in capsys.readouterr().err
    assert stand.brought == []


def test_the_standard_library_suffices_when_nothing_is_installed() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from tools import serving; print(serving.choice('nano-cpu')[0].name)"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "nano-cpu\n"), done.stderr
