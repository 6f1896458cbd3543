"""`facet admin` against an admin port."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from facet.client.cli.admin import default_server
from facet.client.cli.app import main
from facet.client.cli.exit_codes import ExitCode
from facet.gateway.api_keys import KeyFileAuthenticator
from tests.integration.client.fake_gateway import FakeGateway
from tests.integration.client.running_admin import RunningAdmin
from tests.support.stocked_queue import DEAD, FINISHED, RUNNING, SECRET, WAITING, WORKER

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()
COMMANDS = re.findall(r"^facet (admin .*)$", PAGE, re.MULTILINE)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the gateway's side logs; it would stand between what the command prints."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningAdmin]:
    with closing(RunningAdmin()) as running:
        monkeypatch.setenv("FACET_ADMIN_SERVER", running.address)
        monkeypatch.delenv("FACET_API_KEY", raising=False)
        yield running


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["admin", *argv])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """What a command prints with --json, read."""
    assert run(*argv, "--json") == ExitCode.OK
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


@pytest.mark.usefixtures("admin")
def test_the_whole_life_is_printed_when_a_request_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("request", RUNNING) == ExitCode.OK

    out = capsys.readouterr().out
    assert out.startswith(f"{RUNNING}: running, interactive class, tenant alice, model nano\n")
    for line in (
        "attempts  2, of these 0 in a row ended with their worker; epoch ",
        f"worker    {WORKER}, engine print-1",
        "log       next offset 3; readers at 0, 3 behind",
        f"       0  started    {WORKER}",
        f"       2  resumed    {WORKER}",
    ):
        assert line in out
    assert re.search(rf"^  \S+ +\d+\.\d{{3}} s  claimed +{WORKER}$", out, re.MULTILINE)
    assert SECRET not in out


@pytest.mark.usefixtures("admin")
def test_place_and_needs_are_printed_when_a_request_waits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("request", WAITING) == ExitCode.OK

    out = capsys.readouterr().out
    assert "needs     4096 tokens of context, audio, image, no adapter\n" in out
    assert re.search(r"^queue     \d+ ahead \(\d+ tokens\), about ", out, re.MULTILINE)
    assert re.search(r"^deadline  in \d+\.\d{3} s$", out, re.MULTILINE)


@pytest.mark.usefixtures("admin")
def test_phases_and_end_are_printed_when_a_request_finished(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("request", FINISHED) == ExitCode.OK

    out = capsys.readouterr().out
    assert "prefill 0.250 s" in out
    assert "usage     prompt 3 (0 cached)" in out
    assert re.search(r"^end       \S+, kept until \S+$", out, re.MULTILINE)


@pytest.mark.usefixtures("admin")
def test_the_same_is_one_object_when_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    request = printed(capsys, "request", RUNNING)

    assert request["generation"]["state"] == "running"
    assert request["priority"] == "interactive"
    assert request["reader_lag"] == 3
    assert request["life"][0]["what"] == "claimed"


@pytest.mark.usefixtures("admin")
def test_queues_and_workers_are_printed_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("queues") == ExitCode.OK
    out = capsys.readouterr().out
    assert "nano/0: 1 waiting" in out
    assert "1 leased, 1 dead letters" in out
    assert re.search(r"interactive +1 requests", out)

    nano, empty = printed(capsys, "queues")
    assert (nano["waiting"], empty["waiting"]) == (1, 0)
    assert nano["classes"][0]["oldest_age_seconds"] >= 0
    assert empty["classes"][0]["oldest_age_seconds"] is None

    assert run("workers") == ExitCode.OK
    out = capsys.readouterr().out
    assert f"{WORKER}: nano, 1 of 4 running, reported " in out
    assert "; speculation: acceptance 0.12 below 0.30\n" in out
    [worker] = printed(capsys, "workers")
    assert worker["capacity"] == 4
    assert worker["speculation"] == {"healthy": False, "acceptance": 0.12, "floor": 0.3}


@pytest.mark.usefixtures("admin")
def test_dead_letters_are_listed_shown_and_redriven_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("dlq", "list") == ExitCode.OK
    assert f"{DEAD}  tenant alice, model nano" in capsys.readouterr().out
    [letter] = printed(capsys, "dlq", "list")
    assert letter["failure"]["reason"] == "DEAD_LETTERED"

    assert run("dlq", "show", DEAD) == ExitCode.OK
    assert "DEAD_LETTERED: given up after two deaths" in capsys.readouterr().out

    assert printed(capsys, "dlq", "redrive", DEAD, DEAD) == {"redriven": 1}
    assert printed(capsys, "dlq", "list") == []


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["dlq", "show", WAITING], f"{WAITING} is no dead letter"),
        (["dlq", "redrive", WAITING], "1 of 1 are no dead letters"),
        (["dlq", "discard", "other"], "1 of 1 are no dead letters"),
        (["request", "other"], "GENERATION_NOT_FOUND"),
        (["drain", "other"], "WORKER_NOT_FOUND"),
    ],
)
def test_one_line_tells_why_when_what_is_named_is_not_there(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv) == ExitCode.REFUSED

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.usefixtures("admin")
def test_actions_are_in_the_audit_log_when_they_were_taken(
    capsys: pytest.CaptureFixture[str], logged: list[MutableMapping[str, Any]]
) -> None:
    assert printed(capsys, "dlq", "discard", DEAD) == {"discarded": 1}
    assert run("drain", WORKER) == ExitCode.OK
    assert capsys.readouterr().out == f"{WORKER} was told to drain\n"

    assert run("audit") == ExitCode.OK

    drained, discarded = capsys.readouterr().out.splitlines()
    assert drained.endswith(f"anonymous  drain {WORKER} (model nano)")
    assert discarded.endswith(f"anonymous  discard {DEAD} (model nano)")
    assert [entry["action"] for entry in printed(capsys, "audit", "--limit", "1")] == ["drain"]
    told = [(entry["event"], entry["who"], entry["action"], entry["subject"]) for entry in logged]
    assert told == [
        ("operator acts", "anonymous", "discard", DEAD),
        ("operator acts", "anonymous", "drain", WORKER),
    ]


def test_denial_is_told_when_the_key_is_no_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("ops", "alice")}
    keys.write_text(f"ops:{digests['ops']}:admin\nalice:{digests['alice']}\n")
    with closing(RunningAdmin(KeyFileAuthenticator.from_file(keys))) as admin:
        for key, code, words in (
            ("ops", ExitCode.OK, ""),
            ("alice", ExitCode.DENIED, "PERMISSION_DENIED"),
            ("", ExitCode.DENIED, "UNAUTHENTICATED"),
        ):
            monkeypatch.setenv("FACET_API_KEY", key)
            assert run("queues", "--admin-server", admin.address) == code
            assert words in capsys.readouterr().err


def test_the_way_out_is_told_when_no_admin_server_answers(
    admin: RunningAdmin, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.close()

    assert run("queues") == ExitCode.UNREACHABLE

    err = capsys.readouterr().err
    assert f"no admin server answers at {admin.address}" in err
    assert "--admin-server" in err


def test_the_address_is_the_nodes_when_the_environment_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACET_ADMIN_SERVER", raising=False)
    monkeypatch.setenv("FACET_NODE_STATE_DIR", str(tmp_path))
    assert default_server() == "127.0.0.1:8471"

    (tmp_path / "state.json").write_text('{"admin": "127.0.0.1:4711"}')
    assert default_server() == "127.0.0.1:4711"

    (tmp_path / "state.json").write_text("{")
    assert default_server() == "127.0.0.1:8471"


@pytest.mark.parametrize("argv", [[], ["dlq"], ["request"], ["dlq", "redrive"], ["audit", "-1"]])
def test_one_line_tells_why_when_the_command_line_is_wrong(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv) == ExitCode.USAGE

    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works_when_it_is_copied_from_the_page(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"$ID": RUNNING, "$DEAD": DEAD, "$OTHER_DEAD": DEAD, "$WORKER": WORKER}
    argv = [values.get(word, word) for word in shlex.split(command)]

    assert run(*argv[1:]) == ExitCode.OK

    captured = capsys.readouterr()
    assert captured.err == ""
    if "--json" in argv:
        json.loads(captured.out)


def test_the_client_port_refuses_when_it_is_asked_for_operators_things(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("queues", "--admin-server", gateway.address) == ExitCode.REFUSED

    assert "UNIMPLEMENTED" in capsys.readouterr().err
