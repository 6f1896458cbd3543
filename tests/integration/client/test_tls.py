"""SDK and command line over TLS to a real server that wants a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

import facet
from facet.api.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)
from facet.client.admin import AdminClient
from facet.client.cli.app import main
from facet.client.cli.exit_codes import ExitCode
from tests.support.authority import Authority

pytestmark = pytest.mark.integration

HOST = "gateway.example"


class Models(model_service_pb2_grpc.ModelServiceServicer):
    def ListModels(self, request: object, context: object) -> model_service_pb2.ListModelsResponse:
        return model_service_pb2.ListModelsResponse(models=[model_service_pb2.Model(name="m")])


class Queues(admin_service_pb2_grpc.AdminServiceServicer):
    def ListQueues(self, request: object, context: object) -> admin_service_pb2.ListQueuesResponse:
        return admin_service_pb2.ListQueuesResponse()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """PEM files of a client and of a stranger."""
    ca, other = Authority("first"), Authority("second")
    certificate, key = ca.issue()
    server_certificate, server_key = ca.issue(host=HOST)
    contents = {
        "ca": other.certificate + ca.certificate,
        "other_ca": other.certificate,
        "cert": certificate,
        "key": key,
        "server_cert": server_certificate,
        "server_key": server_key,
        "server_ca": ca.certificate,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in contents}


@pytest.fixture
def address(files: dict[str, Path]) -> Iterator[str]:
    # Both leave most methods out.
    models: Any = Models
    queues: Any = Queues
    with futures.ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(models(), server)
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(queues(), server)
        credentials = grpc.ssl_server_credentials(
            [(files["server_key"].read_bytes(), files["server_cert"].read_bytes())],
            files["server_ca"].read_bytes(),
            require_client_auth=True,
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def tls(files: dict[str, Path], ca: str = "ca", name: str = HOST) -> facet.Tls:
    return facet.Tls(files[ca], files["cert"], files["key"], server_name=name)


async def test_all_clients_are_answered_when_both_sides_trust_each_other(
    address: str, files: dict[str, Path]
) -> None:
    with facet.Client(address, tls=tls(files)) as client:
        assert [model.name for model in client.models()] == ["m"]
    async with facet.AsyncClient(address, tls=tls(files)) as asynchronous:
        assert [model.name for model in await asynchronous.models()] == ["m"]
    with AdminClient(address, tls=tls(files)) as admin:
        assert not admin.queues().queues


@pytest.mark.parametrize("reason", ["another CA", "another name", "no certificate", "no TLS"])
def test_nobody_is_answered_when_one_side_is_not_trusted(
    address: str, files: dict[str, Path], reason: str
) -> None:
    used = {
        "another CA": tls(files, ca="other_ca"),
        "another name": tls(files, name=""),
        "no certificate": facet.Tls(files["ca"], server_name=HOST),
        "no TLS": None,
    }[reason]
    with (
        facet.Client(address, tls=used, reattach=False) as client,
        pytest.raises(facet.FacetApiError) as caught,
    ):
        client.models()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"ca_file": "none"}, OSError),
        ({"ca_file": "key"}, ValueError),
        ({"certificate_file": "cert"}, ValueError),
        ({"certificate_file": "cert", "key_file": "server_key"}, ValueError),
    ],
)
def test_files_are_refused_at_once_when_they_cannot_be_used(
    files: dict[str, Path], tmp_path: Path, given: dict[str, str], error: type[Exception]
) -> None:
    paths: dict[str, Any] = {name: tmp_path / file for name, file in given.items()}
    chosen = facet.Tls(**paths)
    with pytest.raises(error):
        facet.Client("127.0.0.1:1", tls=chosen)


def test_a_key_is_warned_of_when_it_leaves_the_machine_unencrypted(files: dict[str, Path]) -> None:
    with pytest.warns(UserWarning, match=r"gateway\.example:1 unencrypted"):
        facet.Client(f"{HOST}:1", api_key="k").close()
    for target, key, used in (
        ("127.0.0.1:1", "k", None),
        (f"{HOST}:1", None, None),
        (f"{HOST}:1", "k", tls(files)),
    ):
        facet.Client(target, api_key=key, tls=used).close()


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def options(files: dict[str, Path], ca: str = "ca") -> list[str]:
    pair = ["--cert", str(files["cert"]), "--key", str(files["key"])]
    return ["--ca", str(files[ca]), *pair, "--server-name", HOST]


def test_the_commands_speak_tls_when_files_are_given(
    address: str, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "--address", address, *options(files)) == ExitCode.OK
    assert "m" in capsys.readouterr().out
    asked = ("admin", "queues", "--admin-server", address, "--json")
    assert run(*asked, *options(files)) == ExitCode.OK


def test_the_commands_speak_tls_when_the_environment_says_so(
    address: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ca", "cert", "key"):
        monkeypatch.setenv(f"FACET_TLS_{name.upper()}", str(files[name]))
    monkeypatch.setenv("FACET_TLS_SERVER_NAME", HOST)
    assert run("models", "--address", address) == ExitCode.OK


def test_one_line_says_why_when_the_server_is_not_trusted(
    address: str, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("models", "--address", address, *options(files, ca="other_ca"))
    assert code == ExitCode.UNREACHABLE
    line = capsys.readouterr().err
    assert "over TLS" in line
    assert "CERTIFICATE_VERIFY_FAILED" in line
    assert run("models", "--address", address, "--ca", "/nowhere/ca") == ExitCode.USAGE
    assert "/nowhere/ca" in capsys.readouterr().err
