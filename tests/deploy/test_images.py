"""Building and pushing all images: the commands that are run, here and on Cloud Build."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.checks import ROOT
from tools.images import check
from tools.images.catalogue import IMAGES, version
from tools.images.pip_settings import mounts, parse_settings, render

pytestmark = pytest.mark.integration

NAMES = ["gateway", "autoscaler", "worker-cpu", "worker"]


class Builders:
    """Recorders in place of the builders, alone on PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record = folder / "record"
        folder.mkdir()

    def add(self, name: str, *, failing: str = "none") -> None:
        """A builder that fails on commands that begin with `failing`."""
        path = self._folder / name
        path.write_text(
            "#!/bin/sh\n"
            f'echo "{name} $*" >> {self._record}\n'
            f'case "$*" in {failing}*) exit 1;; esac\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the tool."""
        return subprocess.run(
            [sys.executable, "-m", "tools.images.build", *arguments],
            cwd=ROOT,
            env=os.environ | {"PATH": str(self._folder)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def commands(self) -> list[str]:
        """What was run."""
        return self._record.read_text().splitlines() if self._record.exists() else []


@pytest.fixture
def builders(tmp_path: Path) -> Builders:
    return Builders(tmp_path / "bin")


@pytest.mark.parametrize(
    ("builder", "build"),
    [
        ("docker", "docker build"),
        ("podman", "podman build --layers --format docker"),
        ("buildah", "buildah bud --layers --format docker"),
    ],
)
def test_all_are_built_then_pushed_when_a_builder_is_there(
    builders: Builders, builder: str, build: str
) -> None:
    builders.add(builder)

    done = builders.run("--registry", "example.org/team/", "--tag", "1.2.3")

    assert done.returncode == 0, done.stderr
    ran = [command for command in builders.commands if command != "docker info"]
    assert len(ran) == 2 * len(NAMES)
    for name, command in zip(NAMES, ran, strict=False):
        assert command.startswith(f"{build} -f docker/{name}.Dockerfile "), command
        assert "--build-arg=VERSION=1.2.3" in command
        assert command.endswith(f" -t example.org/team/facet-{name}:1.2.3 .")
    assert ran[len(NAMES) :] == [
        f"{builder} push example.org/team/facet-{name}:1.2.3" for name in NAMES
    ]


def test_podman_builds_when_dockers_daemon_does_not_answer(builders: Builders) -> None:
    builders.add("docker", failing="info")
    builders.add("podman")

    assert builders.run("--registry", "r").returncode == 0
    assert builders.commands[0] == "docker info"
    assert {command.split()[0] for command in builders.commands[1:]} == {"podman"}
    assert builders.commands[-1] == f"podman push r/facet-worker:{version()}"


def test_nothing_more_is_run_when_a_build_fails(builders: Builders) -> None:
    builders.add("buildah", failing="bud")

    assert builders.run("--registry", "r").returncode == 1
    assert len(builders.commands) == 1


def test_empty_registry_is_refused_with_the_command_when_none_is_named(builders: Builders) -> None:
    builders.add("docker")

    done = builders.run("--registry", "", "--tag", "9")

    assert done.returncode == 2
    assert builders.commands == []
    assert "make images REGISTRY=" in done.stderr
    assert "gcloud artifacts repositories create" in done.stderr


def test_missing_builder_is_refused_with_what_to_install(builders: Builders) -> None:
    done = builders.run("--registry", "r")

    assert done.returncode == 2
    assert "apt install buildah" in done.stderr


def test_every_image_has_a_dockerfile_and_the_other_way_round() -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "docker").glob("*.Dockerfile")}

    assert [image.name for image in IMAGES] == NAMES
    assert {str(image.dockerfile) for image in IMAGES} == files


@pytest.fixture(scope="module")
def cloudbuild() -> Any:
    return yaml.safe_load((ROOT / "docker" / "cloudbuild.yaml").read_text())


def test_cloud_build_builds_and_pushes_every_image_in_order(cloudbuild: Any) -> None:
    guard, *builds = cloudbuild["steps"]

    assert [step["id"] for step in builds] == NAMES
    for before, step in zip(cloudbuild["steps"], builds, strict=False):
        image = f"${{_REGISTRY}}/facet-{step['id']}"
        assert step["waitFor"] == [before["id"]]
        assert f"--file=docker/{step['id']}.Dockerfile" in step["args"]
        assert f"--tag={image}:${{_TAG}}" in step["args"]
        assert f"--cache-from=type=registry,ref={image}:cache" in step["args"]
        assert f"--cache-to=type=registry,ref={image}:cache,mode=max" in step["args"]
        assert step["args"][-2:] == ["--push", "."]
        assert re.fullmatch(r"docker:\d+\.\d+\.\d+-cli", step["name"])
    assert guard["id"] == "builder"
    assert cloudbuild["substitutions"]["_TAG"] == version()


def test_cloud_build_refuses_an_empty_registry(cloudbuild: Any, builders: Builders) -> None:
    script = cloudbuild["steps"][0]["args"][-1]
    builders.add("docker")

    def run(registry: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-euc", script.replace("${_REGISTRY}", registry)],
            env={"PATH": str(builders._folder)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    refused = run("")
    assert refused.returncode == 2
    assert "--substitutions _REGISTRY=" in refused.stderr
    assert builders.commands == []
    assert run("r").returncode == 0
    assert builders.commands[0].startswith("docker buildx create")


def test_check_says_what_to_install_when_a_command_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name == "buildah" else f"/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    assert check.main() == 2

    told = capsys.readouterr()
    assert "apt install buildah" in told.err
    assert "as root" in told.err
    assert told.out == ""


def test_pips_settings_are_mounted_from_where_they_point(tmp_path: Path) -> None:
    bundle, wheels, index = tmp_path / "ca.pem", tmp_path / "wheels", tmp_path / "index" / "simple"
    bundle.touch()
    wheels.mkdir()
    index.mkdir(parents=True)
    listing = "\n".join(
        (
            f":env:.cert='{bundle}'",
            "global.cert='/elsewhere'",
            f"global.extra-index-url='file://{index} https://example.org/simple'",
            f"global.find-links='{wheels}'",
            "global.timeout='60'",
        )
    )

    settings = parse_settings(listing)

    assert settings["cert"] == str(bundle)
    assert mounts(settings) == sorted([bundle, wheels, index.parent])
    assert f"extra-index-url = file://{index}\n  https://example.org/simple\n" in render(settings)
