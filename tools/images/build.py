"""Builds all images and pushes them: `python -m tools.images.build --registry R [--tag T]`.

Uses docker where its daemon answers, else podman, else buildah. Standard library only.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

from tools.checks import ROOT
from tools.images.catalogue import IMAGES, Image, version

_BUILD_SECONDS = 3600
_ANSWER_SECONDS = 30

# HEALTHCHECK is part of Docker's image format alone.
_BUILD = {
    "docker": ("docker", "build"),
    "podman": ("podman", "build", "--layers", "--format", "docker"),
    "buildah": ("buildah", "bud", "--layers", "--format", "docker"),
}

NO_REGISTRY = """\
images: no registry to push to; name one that you may write to, for example
  make images REGISTRY=REGION-docker.pkg.dev/PROJECT/facet TAG={version}
where `gcloud artifacts repositories create facet --repository-format=docker --location=REGION`
made it and `gcloud auth configure-docker REGION-docker.pkg.dev` lets you in"""
NO_BUILDER = """\
images: neither docker with a running daemon nor podman nor buildah is here; install one
(Debian, Ubuntu: apt install buildah), or build in the cloud:
  gcloud builds submit --config docker/cloudbuild.yaml \\
    --substitutions _REGISTRY={registry},_TAG={tag} ."""


def find_builder() -> str | None:
    """The first builder that works here."""
    if shutil.which("docker") and _answers("docker", "info"):
        return "docker"
    return next((name for name in ("podman", "buildah") if shutil.which(name)), None)


def _answers(*command: str) -> bool:
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_ANSWER_SECONDS, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def revision() -> str:
    """The commit that is built, `unknown` outside a checkout."""
    if not shutil.which("git"):
        return "unknown"
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def build_command(
    builder: str, image: Image, reference: str, *, tag: str, commit: str
) -> list[str]:
    """How `builder` makes one image, run in the repository."""
    labels = [f"--build-arg=VERSION={tag}", f"--build-arg=REVISION={commit}"]
    return [*_BUILD[builder], "-f", str(image.dockerfile), *labels, "-t", reference, "."]


def commands(builder: str, registry: str, tag: str, commit: str) -> Iterator[list[str]]:
    """Every command, in order: all are built before the first is pushed."""
    references = {image: f"{registry.rstrip('/')}/{image.repository}:{tag}" for image in IMAGES}
    for image, reference in references.items():
        yield build_command(builder, image, reference, tag=tag, commit=commit)
    for reference in references.values():
        yield [builder, "push", reference]


def main(arguments: Sequence[str]) -> int:
    """Build and push; the exit status, 2 where nothing was begun."""
    parser = argparse.ArgumentParser(prog="python -m tools.images.build")
    parser.add_argument("--registry", default="")
    parser.add_argument("--tag", default="")
    options = parser.parse_args(arguments)
    tag = options.tag or version()
    if not options.registry:
        print(NO_REGISTRY.format(version=tag), file=sys.stderr)
        return 2
    builder = find_builder()
    if builder is None:
        print(NO_BUILDER.format(registry=options.registry, tag=tag), file=sys.stderr)
        return 2
    for command in commands(builder, options.registry, tag, revision()):
        print("images:", " ".join(command), file=sys.stderr, flush=True)
        done = subprocess.run(command, cwd=ROOT, timeout=_BUILD_SECONDS, check=False)
        if done.returncode != 0:
            print(f"images: {builder} failed, see above; the same command goes on", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
