"""The list of entry points."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from facet.profiles import catalogue
from tools import setup
from tools.checks import ROOT

pytestmark = pytest.mark.integration

PROMISED = {
    "demo", "run", "test", "test-unit", "test-integration", "test-e2e", "nano-train", "nano-eval",
    "lint", "type", "gen", "verify", "clean",
}  # fmt: skip

INHERITED = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Run by `make test`, it would otherwise take itself for a part of that run.
    env = {name: value for name, value in os.environ.items() if name not in INHERITED}
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
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


@pytest.mark.parametrize("target", ["demo", "run"])
def test_a_profile_is_refused_in_set_up_when_it_is_not_there(target: str) -> None:
    """Set-up installs gigabytes: only a line from itself shows that it went no further."""
    done = make(f"PYTHON={sys.executable}", "PROFILE=w4a16", target)

    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.splitlines()[0] == (
        "setup: PROFILE=w4a16 is not in this release; it has nano-cpu"
    )


def test_set_up_knows_the_profiles_of_the_node() -> None:
    assert set(setup.PROFILES) <= set(catalogue.PROFILES)
