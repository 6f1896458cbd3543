"""What the README tells people to type works.

Each command of its blocks, of docs/development.md and of docs/single-node.md, is run here, or
stands in `ELSEWHERE` with the test that runs it. A new command fails until it has one.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import facet
from tests.support.media_samples import png
from tests.support.running_node import SIMULATED, RunningNode
from tools import helm
from tools.checks import ROOT
from tools.images.catalogue import IMAGES

pytestmark = pytest.mark.integration

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent
TIMEOUT_SECONDS = 60

CLI = {
    '.venv/bin/facet generate "What is the capital of France?"',
    '.venv/bin/facet generate --json --image picture.png "Describe the object in the picture."',
    ".venv/bin/facet models",
}
PLAN = ".venv/bin/facet plan --profile"
ALONE = {
    ".venv/bin/facet keys new --tenant acme",
    f"{PLAN} auto",
    f"{PLAN} w4a16 --memory 16GiB",
    f"{PLAN} w4a16-cpu --memory 16GiB",
    f"{PLAN} w4a16-cpu --target gke-16",
    ".venv/bin/facet simulate --workload flash --peak-pods 4 --policies facet,hpa-utilisation",
}
"""Commands that need no node."""
REGISTRY = "registry.example.com"
HELM = (
    "helm install facet deploy/helm/facet "
    f"--set global.imageRegistry={REGISTRY} "
    "--set auth.existingSecret=facet-keys --set redis.auth.existingSecret=facet-redis"
)
MAKEFILE = "tests/integration/tools/test_makefile.py"
SERVING = "tests/unit/tools/test_serving.py"
ELSEWHERE = {
    "make demo": ("tests/integration/tools/test_demo.py", "demo"),
    "make run": ("tests/support/running_node.py", '"-m", "facet.node"'),
    "make run PROFILE=auto": (MAKEFILE, '"auto", "n'),
    "make run PROFILE=w4a16": (SERVING, '(L4, "w4a16", "w4a16", "node-cuda")'),
    "make run PROFILE=w4a16-cpu YES=1": (SERVING, '"w4a16-cpu", YES'),
    "make setup": (MAKEFILE, '("setup", '),
    f"make images REGISTRY={REGISTRY}": ("tests/deploy/test_images.py", '"--registry"'),
    "make deploy-check": ("tests/deploy/test_deploy_check.py", "tools.deploy_check"),
    ".venv/bin/facet weights pull --profile w4a16 --to ./weights": (
        "tests/integration/client/test_cli_weights.py",
        '"--profile", "w4a16", "--to"',
    ),
    "export FACET_WORKER_WEIGHTS=./weights/target FACET_WORKER_DRAFTER_WEIGHTS=./weights/drafter": (
        SERVING,
        '"FACET_WORKER_DRAFTER_WEIGHTS": "./b"',
    ),
    "docker compose -f docker/compose.yaml --profile gpu up --build": (
        "tests/deploy/test_compose.py",
        '"gpu": ("worker-gpu", "w4a16")',
    ),
    "make test": (".ci/run", "make test"),
    ".venv/bin/facet chat": ("tests/integration/client/test_cli.py", '"chat"'),
    ".venv/bin/locust -f loadtest/locustfile.py --headless --users 10 --spawn-rate 10 "
    "--run-time 20s --host 127.0.0.1:8470": ("tests/deploy/test_loadtest_smoke.py", "smoke.run"),
}


def blocks(language: str, *documents: str) -> list[str]:
    """Contents of the fenced blocks of a language."""
    found = []
    for document in documents:
        text = (ROOT / document).read_text()
        found += [body for name, body in BLOCK.findall(text) if name == language]
    return found


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("readme")
    with closing(RunningNode(folder, SIMULATED)) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the picture that the README speaks of."""
    (tmp_path / "picture.png").write_bytes(png())
    return tmp_path


def run(command: list[str], folder: Path, **env: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_is_run_by_a_test() -> None:
    commands = {
        line.strip()
        for body in blocks("sh", "README.md", "docs/development.md", "docs/single-node.md")
        for line in re.sub(r"\\\n\s*", "", body).splitlines()
        if line.strip()
    }

    assert commands == CLI | ALONE | {HELM} | ELSEWHERE.keys()
    for path, words in ELSEWHERE.values():
        assert words in (ROOT / path).read_text(), path


def test_the_two_commands_come_first() -> None:
    first = blocks("sh", "README.md")[0]

    assert first.split("\n")[:2] == ["make demo", "make run"]
    assert (ROOT / "README.md").read_text().index("```sh") < 20


@pytest.mark.parametrize("command", sorted(CLI))
def test_the_command_line_answers_when_a_node_runs(
    node: RunningNode, folder: Path, command: str
) -> None:
    _, *arguments = shlex.split(command)

    output = run([str(BIN / "facet"), *arguments], folder, FACET_ADDRESS=node.address())

    assert output.strip()
    if "--json" in arguments:
        assert json.loads(output)["text"]


@pytest.mark.parametrize("command", sorted(ALONE))
def test_the_command_line_answers_when_no_node_runs(folder: Path, command: str) -> None:
    _, *arguments = shlex.split(command)

    assert run([str(BIN / "facet"), *arguments], folder).strip()


def test_the_python_example_runs_when_a_node_runs(node: RunningNode, folder: Path) -> None:
    (example,) = blocks("python", "README.md")
    assert "127.0.0.1:8470" in example

    output = run([sys.executable, "-c", example.replace("127.0.0.1:8470", node.address())], folder)

    assert "Finished" in output


def test_the_chart_runs_the_images_that_are_pushed() -> None:
    """Docker is not asked for here: hadolint and tests/deploy look into the Dockerfiles."""
    _, _, release, chart, *flags = shlex.split(HELM)

    done = helm.run_helm("template", release, chart, *flags)

    assert done.returncode == 0, done.stderr
    images = set(re.findall(r"^ +image: \"?([^\s\"]+)", done.stdout, re.MULTILINE))
    used = {image for image in images if "facet" in image}
    pushed = {f"{REGISTRY}/{image.repository}:{facet.__version__}" for image in IMAGES}
    assert len(used) >= 2
    assert used <= pushed
