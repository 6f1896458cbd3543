"""Lock files: one table of what each holds; `python -m tools.locks` compiles them all with uv."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = Path("requirements")
# The locks of one machine kind agree on every version, so that a venv grows from one to another.
CPU_SUPERSET = "dev-cpu"


@dataclass(frozen=True)
class Lock:
    """One file `requirements/NAME.txt`: the extras of pyproject.toml, or else an input file."""

    name: str
    extras: tuple[str, ...] = ()
    source: str = "pyproject.toml"
    is_cpu: bool = True
    has_dependencies: bool = True

    @property
    def path(self) -> Path:
        """Where it lies, relative to the repository."""
        return REQUIREMENTS / f"{self.name}.txt"


# The superset comes first: the others are compiled under its pins.
LOCKS = (
    Lock(CPU_SUPERSET, ("dev",)),
    Lock("sdk"),
    Lock("gateway", ("gateway",)),
    Lock("worker-cpu", ("worker-cpu",)),
    Lock("node-cpu", ("node",)),
    Lock("autoscaler", ("autoscaler",)),
    Lock("loadtest", ("loadtest",)),
    Lock("build", source="requirements/build.in"),
    Lock("tools", source="requirements/tools.in", has_dependencies=False),
    Lock("worker-cuda", ("worker-cuda",), is_cpu=False),
    Lock("node-cuda", ("node-cuda",), is_cpu=False),
)


def compile_command(lock: Lock) -> list[str]:
    """The uv command for one lock; pins already in its file are preferred."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    command = [uv, "pip", "compile", "--quiet", lock.source, "--generate-hashes"]
    command += ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]
    command += ["--custom-compile-command", "make lock", "-o", str(lock.path)]
    for extra in lock.extras:
        command += ["--extra", extra]
    if not lock.has_dependencies:
        command.append("--no-deps")
    if lock.is_cpu:
        command += ["--override", "requirements/overrides-cpu.txt"]
        if lock.name != CPU_SUPERSET:
            command += ["--constraint", f"requirements/{CPU_SUPERSET}.txt"]
    return command


def main() -> int:
    """Compile every lock; stops at the first that does not resolve."""
    for lock in LOCKS:
        sys.stderr.write(f"lock: {lock.path}\n")
        done = subprocess.run(compile_command(lock), cwd=ROOT, timeout=600, check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
