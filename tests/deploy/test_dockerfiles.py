"""Rules for the images that can be checked without building them, and their install steps."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.autoscaler_process import pools_file
from tests.support.redis_server import RedisServer
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


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_source_is_the_last_layer_with_files(path: Path) -> None:
    final = path.read_text().rpartition("\nFROM ")[2]

    copied = re.findall(r"^COPY (.+)$", final, re.MULTILINE)
    assert [line.split()[0] for line in copied] == ["--from=packages", "--from=source"]
    assert "\nRUN" not in final[final.index("COPY") :]
    assert final.index("ARG REVISION") > final.index("ENTRYPOINT")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_no_weights_but_the_test_models_are_in_a_worker_and_none_elsewhere(path: Path) -> None:
    text = path.read_text()

    assert not re.search(r"huggingface-cli|hf download|gs://", text)
    is_removed = "/opt/source/facet/nano/*/model.safetensors" in text
    assert is_removed == (SERVICES[path.name] != "facet.worker")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_labels_say_what_the_image_is(path: Path) -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="(.+?)"', path.read_text()))

    assert labels["title"] == f"facet-{path.name.removesuffix('.Dockerfile')}"
    assert labels["version"] == "${VERSION}"
    assert labels["revision"] == "${REVISION}"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["description"]


class Scratch:
    """The build stages of a Dockerfile, executed in a folder instead of /opt and /src."""

    def __init__(self, dockerfile: Path, folder: Path) -> None:
        self.opt, self._src = folder / "opt", folder / "src"
        self._src.mkdir()
        text = re.sub(r"\\\n", " ", dockerfile.read_text())
        self._stages, _, self.final = text.rpartition("\nFROM ")

    def build(self) -> None:
        """Run every COPY and RUN of the stages, then put the source where the image has it."""
        for keyword, rest in re.findall(r"^(COPY|RUN) (.+)$", self._stages, re.MULTILINE):
            if keyword == "COPY":
                self._copy(rest.split())
            else:
                self._run(rest)
        packages = self.opt / "facet/lib/python3.11/site-packages"
        shutil.copytree(self.opt / "source", packages, dirs_exist_ok=True)

    def environment(self) -> dict[str, str]:
        """As the final stage sets it, but for the addresses."""
        return {"PATH": f"{self.opt}/facet/bin", "PYTHONUNBUFFERED": "1"}

    def entrypoint(self) -> list[str]:
        """Of the image, by the interpreter that was installed."""
        (words,) = re.findall(r"^ENTRYPOINT \[(.+)\]$", self.final, re.MULTILINE)
        _, *arguments = re.findall(r'"(.+?)"', words)
        return [f"{self.opt}/facet/bin/python", *arguments]

    def _copy(self, words: list[str]) -> None:
        *sources, target = words
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, self._src / target, ignore=ignored)
            else:
                (self._src / target).mkdir(exist_ok=True)
                shutil.copy(ROOT / source, self._src / target)

    def _run(self, line: str) -> None:
        folder = Path(sys.executable).parent
        done = subprocess.run(
            ["/bin/sh", "-ec", line.replace("/opt/", f"{self.opt}/")],
            cwd=self._src,
            env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PIP_NO_CACHE_DIR": "0"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("service", ["gateway", "autoscaler"])
def test_service_starts_from_what_the_dockerfile_installs(
    tmp_path: Path, redis_server: RedisServer, service: str
) -> None:
    scratch = Scratch(ROOT / "docker" / f"{service}.Dockerfile", tmp_path)
    scratch.build()
    prefix = f"FACET_{service.upper()}_"
    pools = pools_file(tmp_path, [{"name": "nano", "max": 1}])

    process = subprocess.Popen(
        scratch.entrypoint(),
        cwd=tmp_path,
        env=scratch.environment()
        | {"FACET_AUTOSCALER_POOLS_FILE": pools}
        | {f"{prefix}LISTEN": "127.0.0.1:0", f"{prefix}REDIS_URL": redis_server.url}
        | {f"{prefix}RELEASE": f"dockerfile-{service}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("READY ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate(timeout=10)
    assert not list((scratch.opt / "facet").rglob("model.safetensors"))
