"""Files that are deployed as they are written: templates, Dockerfiles, compose, Cloud Build."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tools import golden, helm
from tools.checks import BIN, ROOT
from tools.deploy_check.outcome import Outcome

# A value that is another with every render restarts pods and cannot be reviewed; a lookup answers
# nothing where the chart is rendered without a cluster.
_RANDOM = re.compile(
    r"\b(rand(?:AlphaNum|Alpha|Numeric|Ascii|Bytes|Int)|uuidv4|now|ago|lookup|shuffle"
    r"|gen(?:PrivateKey|CA|CAWithKey|SelfSignedCert|SelfSignedCertWithKey|SignedCert"
    r"|SignedCertWithKey)|derivePassword|htpasswd|bcrypt)\b"
)
_ACTION = re.compile(r"\{\{-?\s*(?!/\*)(.*?)\s*-?\}\}", re.DOTALL)
_KIND = re.compile(r"^kind: ([A-Z]\w+)\s*$", re.MULTILINE)
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_TIMEOUT_SECONDS = 120


def check_lint() -> Outcome:
    """`helm lint --strict` with each of the CI values."""
    return Outcome(len(helm.values_files()), list(filter(None, [helm.lint()])))


def check_golden() -> Outcome:
    """The committed renders are those of the chart."""
    return Outcome(len(list(golden.GOLDEN.glob("*.yaml"))), golden.differences().splitlines())


def check_bare_values() -> Outcome:
    """The chart without any values is rendered, or refused by a guard that says what to set."""
    done = helm.run_helm("template", "facet", str(helm.CHART))
    refused_by_guard = re.search(r"execution error at \(.*\): \S+.*\bset\b", done.stderr, re.DOTALL)
    if done.returncode == 0 or refused_by_guard:
        return Outcome(1)
    return Outcome(1, [f"no values: {done.stderr.strip()}"])


def template_problems(text: str) -> Iterator[str]:
    """Functions in a template whose answer is not in its values."""
    for action in _ACTION.findall(text):
        for function in _RANDOM.findall(_TEXT.sub('""', action)):
            yield f"uses {function}"


def check_templates() -> Outcome:
    """No template draws random values, asks the clock or the cluster."""
    outcome = Outcome()
    for path in sorted((helm.CHART / "templates").rglob("*")):
        if path.is_file():
            outcome.look(
                f"{path.name}: {problem}" for problem in template_problems(path.read_text())
            )
    return outcome


def rendered_kinds(texts: Iterable[str]) -> set[str]:
    """The kinds of objects that templates name."""
    return {kind for text in texts for kind in _KIND.findall(text)}


def template_kinds() -> set[str]:
    """The kinds that the chart can render: each must be, with some of the CI values."""
    return rendered_kinds(path.read_text() for path in (helm.CHART / "templates").rglob("*.yaml"))


def check_dockerfiles(folder: Path = ROOT / "docker") -> Outcome:
    """Hadolint finds nothing in any Dockerfile."""
    outcome = Outcome()
    for path in sorted(folder.glob("*.Dockerfile")):
        done = subprocess.run(
            [str(BIN / "hadolint"), "--no-color", path.name],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        outcome.look((done.stdout + done.stderr).splitlines() if done.returncode else [])
    return outcome


def check_compose(path: Path = ROOT / "docker" / "compose.yaml") -> Outcome:
    """Each service of the compose file has an image, or a Dockerfile that exists."""
    outcome = Outcome()
    for name, service in yaml.safe_load(path.read_text())["services"].items():
        outcome.look(
            f"{path.name}: {name}: {problem}" for problem in _service_problems(service, path)
        )
    return outcome


def _service_problems(service: dict[str, Any], path: Path) -> Iterator[str]:
    build = service.get("build")
    if build is None:
        if not service.get("image"):
            yield "has neither an image nor a build"
        return
    build = {"context": build} if isinstance(build, str) else build
    context = path.parent / build.get("context", ".")
    dockerfile = build.get("dockerfile", "Dockerfile")
    if "${" not in dockerfile and not (context / dockerfile).exists():
        yield f"builds from {dockerfile}, which is not there"


def check_cloud_build(path: Path = ROOT / "docker" / "cloudbuild.yaml") -> Outcome:
    """Each step of Cloud Build has an image and names Dockerfiles that exist; all are built."""
    outcome, text = Outcome(), path.read_text()
    for index, step in enumerate(yaml.safe_load(text)["steps"]):
        outcome.look([] if step.get("name") else [f"{path.name}: step {index} has no image"])
    named = set(re.findall(r"docker/([\w.-]+\.Dockerfile)", text))
    existing = {found.name for found in path.parent.glob("*.Dockerfile")}
    outcome.problems += [f"{path.name}: {name} is not there" for name in sorted(named - existing)]
    for name in sorted(existing):
        stem = name.removesuffix(".Dockerfile")
        is_built = name in named or re.search(rf"\b{re.escape(stem)}\b(?!-)", text)
        outcome.look([] if is_built else [f"{path.name}: {name} is not built"])
    return outcome
