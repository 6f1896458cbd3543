"""The SDK is light: nothing but grpcio and protobuf is imported with it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

_PROGRAM = """
import sys
before = set(sys.modules)
import facet
assert set(sys.modules) - before == {"facet"} | {
    name for name in set(sys.modules) - before if name.partition(".")[0] in sys.stdlib_module_names
}, "import facet alone loads more than itself"
facet.Client, facet.AsyncClient
import facet.client.cli.app
core = {name for name in sys.modules if name.startswith("facet.core.")}
assert core == {"facet.core.errors"}, core
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - set(sys.stdlib_module_names)))
"""

# grpc itself tries to import the three helper packages where they are installed.
_ALLOWED = {"facet", "google", "grpc", "grpc_health", "grpc_reflection", "grpc_tools"}
_ALLOWED_INTERNAL = {"cython_runtime", "typing_extensions"}


def test_only_grpc_and_protobuf_are_loaded_when_the_sdk_is_imported() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )

    assert finished.returncode == 0, finished.stderr
    loaded = {name for name in finished.stdout.split() if not name.startswith("_")}
    assert {"facet", "grpc", "google"} <= loaded
    assert loaded <= _ALLOWED | _ALLOWED_INTERNAL
