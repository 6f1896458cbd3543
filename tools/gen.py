"""Generate the stubs under services/facet/api from protos/: `python -m tools.gen [OUT]`."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
API = ROOT / "services" / "facet" / "api"

# The Python packages of `facet.v1`, `facet.queue.v1` and `externalscaler` lie under `facet.api`, so
# that no generated module shares a package with hand-written code.
_IMPORT = re.compile(
    r"(?<![.\w])(?:facet\.)?((?:queue\.)?v1|externalscaler)\b(?=[\s.]*(?:import|\w+_pb2))"
)
_GENERATED = {"v1": "facet/v1", "queue": "facet/queue", "externalscaler": "externalscaler"}
"""Package under `facet.api` and where protoc leaves it."""


def run_protoc(out: Path) -> None:
    """Run protoc with the plugins of this interpreter's environment into `out`."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{Path(protoc.__file__).parent / '_proto'}",
        f"--python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=quiet:{out}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed: see its messages above")


def install(generated: Path, api: Path) -> None:
    """Move the generated packages under `api`, rewriting their imports of each other."""
    for package, place in _GENERATED.items():
        shutil.rmtree(api / package, ignore_errors=True)
        shutil.copytree(generated / place, api / package)
        for path in (api / package).rglob("*.py*"):
            if "_pb2_grpc" in path.name and "_service_" not in path.name:
                path.unlink()  # protoc writes an empty one for each file without a service
            else:
                path.write_text(_IMPORT.sub(r"facet.api.\1", path.read_text()))
    for folder in (api, *(path for path in api.rglob("*") if path.is_dir())):
        if folder.name != "__pycache__":
            (folder / "__init__.py").touch()


def generate(api: Path) -> None:
    """Generate all stubs into `api`."""
    api.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run_protoc(Path(scratch))
        install(Path(scratch), api)


def main() -> int:
    """Generate into the folder given as argument, else into the package."""
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else API)
    return 0


if __name__ == "__main__":
    sys.exit(main())
