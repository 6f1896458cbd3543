"""The list of entry points."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facet.node.settings import NodeSettings
from facet.profiles import catalogue
from facet.profiles.choice import AUTO
from tools import serving
from tools.checks import ROOT

pytestmark = pytest.mark.integration

PROMISED = {
    "demo", "run", "test", "test-unit", "test-integration", "test-e2e", "nano-train", "nano-eval",
    "lint", "type", "gen", "verify", "clean",
}  # fmt: skip

INHERITED = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}


MODEL = "google/nowhere"
BOUND_SECONDS = 30


def bare_environment() -> dict[str, str]:
    # Run by `make test`, it would otherwise take itself for a part of that run.
    return {name: value for name, value in os.environ.items() if name not in INHERITED}


def make(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env=bare_environment() | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        check=False,
    )


def test_every_promised_target_is_listed_when_make_runs_without_one() -> None:
    listed = set(re.findall(r"^ +make (\S+)", make().stdout, re.MULTILINE))

    assert listed >= PROMISED


def test_every_module_exists_that_a_target_runs() -> None:
    modules = set(
        re.findall(r"-m ((?:tools|loadtest|facet)[\w.]*)", (ROOT / "Makefile").read_text())
    )

    assert modules
    for module in modules:
        path = ROOT / ("services" if module.startswith("facet") else "") / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_one_line_names_the_wanted_python_when_none_is_found() -> None:
    done = make("PYTHON=", "demo")

    assert done.returncode != 0
    assert "Python 3.11" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_interpreter_is_refused_in_one_line_when_it_is_another_python(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """An interpreter that answers like an old one: the recipe stops before anything is made."""
    fake = tmp_path_factory.mktemp("old") / "python3"
    fake.write_text("#!/bin/sh\necho 'preflight: cannot run here: Python 3.6 found' >&2\nexit 1\n")
    fake.chmod(0o755)

    done = make(f"PYTHON={fake}", "demo")

    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.splitlines()[0] == "preflight: cannot run here: Python 3.6 found"


@pytest.mark.parametrize(
    ("target", "profile", "said"),
    [
        ("demo", "w4a16", "setup: the demo checks the answers of nano-cpu; serve another by: make"),
        ("run", "none", f"there are {AUTO}, {', '.join(catalogue.PROFILES)}"),
        ("setup", "none", f"there are {AUTO}, {', '.join(catalogue.PROFILES)}"),
    ],
)
def test_a_profile_is_refused_in_set_up_when_it_is_not_there(
    target: str, profile: str, said: str
) -> None:
    """Set-up installs gigabytes: only a line from itself shows that it went no further."""
    done = make(f"PYTHON={sys.executable}", f"PROFILE={profile}", target)

    assert done.returncode != 0
    assert done.stdout == ""
    assert said in done.stderr.splitlines()[0]


def test_set_up_knows_the_profiles_of_the_node() -> None:
    for name in serving.NAMES:
        assert NodeSettings(profile=name).profile == name
    assert set(serving.NAMES) == {AUTO, *catalogue.PROFILES}


def test_a_download_is_refused_when_nobody_can_be_asked(tmp_path: Path) -> None:
    done = make("PROFILE=nano-cpu", "run", FACET_WORKER_WEIGHTS=MODEL, HF_HOME=str(tmp_path))

    assert done.returncode != 0
    assert done.stdout == ""
    assert "YES=1" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("profile", "typed"), [("nano-cpu", "n\n"), ("auto", "n\n")])
def test_nothing_is_started_when_the_answer_is_no(profile: str, typed: str, tmp_path: Path) -> None:
    status, shown = on_terminal(
        ["make", f"PROFILE={profile}", "run"],
        typed,
        FACET_WORKER_WEIGHTS=MODEL,
        HF_HOME=str(tmp_path),
    )

    assert status != 0
    assert f"size unknown  {MODEL}" in shown
    assert shown.index("download and start? [y/N]") < shown.index("nothing was downloaded")
    assert "READY" not in shown
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [("y\n", 0, "nano-cpu"), ("\n", 1, "nothing was"), ("\x04", 1, "nothing was")],
)
def test_it_goes_on_only_when_the_answer_is_yes(
    typed: str, status: int, said: str, tmp_path: Path
) -> None:
    code = (
        "import sys; from tools import environment, setup\n"
        "environment.check = environment.bring = lambda *_: 0\n"
        "sys.exit(setup.main(['serve', 'nano-cpu']))"
    )

    found = on_terminal(
        [sys.executable, "-c", code], typed, FACET_WORKER_WEIGHTS=MODEL, HF_HOME=str(tmp_path)
    )

    assert found[0] == status, found[1]
    assert said in found[1].splitlines()[-1]


def on_terminal(command: list[str], typed: str, **env: str) -> tuple[int, str]:
    """Run on a terminal of its own, type after the question; the status and all that was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=bare_environment() | env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, is_typed = "", False
    ends = time.monotonic() + BOUND_SECONDS
    try:
        while select.select([ours], [], [], max(0.0, ends - time.monotonic()))[0]:
            try:
                chunk = os.read(ours, 4096)
            # What Linux answers when the other side is closed.
            except OSError:
                break
            shown += chunk.decode()
            if not is_typed and "[y/N]" in shown:
                os.write(ours, typed.encode())
                is_typed = True
        return process.wait(max(1.0, ends - time.monotonic())), shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)
