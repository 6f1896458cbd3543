"""The services are started as processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facet.client.cli.app import main
from facet.client.cli.exit_codes import ExitCode

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("service", ["node", "gateway", "worker"])
def test_the_module_replaces_the_process_when_a_service_is_named(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda path, argv: executed.append([path, *argv]))

    with pytest.raises(SystemExit):
        main([service])

    assert executed == [[sys.executable, sys.executable, "-P", "-m", f"facet.{service}"]]


def test_the_simulator_gets_all_arguments_when_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executed: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda path, argv: executed.append([path, *argv]))

    with pytest.raises(SystemExit):
        main(["simulate", "--json", "--help"])

    command = [sys.executable, sys.executable, "-P", "-m", "facet.simulator"]
    assert executed == [[*command, "--json", "--help"]]


def test_the_extra_is_named_when_the_simulator_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(SystemExit) as ended:
        main(["simulate"])

    assert ended.value.code == ExitCode.USAGE
    assert "facet[simulator]" in capsys.readouterr().err


def test_the_extra_is_named_when_a_service_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(SystemExit) as ended:
        main(["worker"])

    assert ended.value.code == ExitCode.USAGE
    assert "facet[worker-cpu]" in capsys.readouterr().err


def test_nothing_of_the_working_directory_is_run_when_a_service_starts(tmp_path: Path) -> None:
    (tmp_path / "grpc.py").write_text("raise SystemExit('not ours')")
    program = f"import sys; sys.path[:] = {sys.path!r}; from facet.client.cli.app import main; "
    done = subprocess.run(
        [sys.executable, "-c", program + "main(['gateway'])"],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "FACET_GATEWAY_LISTEN": "none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "not ours" not in done.stderr
    assert "FACET_GATEWAY_LISTEN" in done.stderr
