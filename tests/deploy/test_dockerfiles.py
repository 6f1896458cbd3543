"""Rules for the images that can be checked without building them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.checks import ROOT

pytestmark = pytest.mark.integration

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
SERVICES = {
    "autoscaler.Dockerfile": "facet.autoscaler",
    "gateway.Dockerfile": "facet.gateway",
    "worker-cpu.Dockerfile": "facet.worker",
    "worker.Dockerfile": "facet.worker",
}


def test_there_is_one_for_every_image_of_the_chart() -> None:
    assert {path.name for path in DOCKERFILES} == SERVICES.keys()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"

    done = subprocess.run(
        [str(hadolint), str(path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_image_runs_its_service_as_a_numbered_user_of_no_privilege(path: Path) -> None:
    text = path.read_text()

    assert f'ENTRYPOINT ["python", "-m", "{SERVICES[path.name]}"]' in text
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:0"]
    assert re.search(r'^  CMD \["python", "-m", "facet.core.health_probe"', text, re.MULTILINE)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_base_is_pinned_and_packages_are_hashed_before_the_source(path: Path) -> None:
    text = path.read_text()
    (base,) = re.findall(r"^ARG BASE=python:(.+)$", text, re.MULTILINE)

    assert re.fullmatch(r"3\.11\.\d+-slim-\w+", base)
    assert "--require-hashes" in text
    assert text.index("requirements/") < text.index("COPY services")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_build_context_holds_what_is_copied(path: Path) -> None:
    admitted = [
        line.removeprefix("!").removesuffix("/**")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for line in re.findall(r"^COPY (?!--from)(.+)$", path.read_text(), re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(Path(source).match(pattern) for pattern in admitted), source
