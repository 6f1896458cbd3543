"""The command `facet` against a scripted gateway."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

import facet
from facet.client.cli.app import main
from facet.client.cli.chat import Repl
from facet.client.cli.exit_codes import ExitCode
from tests.integration.client.fake_gateway import GENERATION_ID, Break, FakeGateway

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _address(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_ADDRESS", gateway.address)
    monkeypatch.delenv("FACET_API_KEY", raising=False)


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_answer_is_printed_when_generating(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.say("he", "llo")

    assert run("generate", "--max-output-tokens", "5", "--temperature", "0", "hi") == ExitCode.OK

    assert capsys.readouterr().out == "hello\n"
    (request,) = gateway.requests
    assert request.generation_config.max_output_tokens == 5
    assert request.generation_config.temperature == 0.0


def test_one_object_is_printed_when_json_is_asked_for(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.say("hé", "llo")

    assert run("generate", "--json", "hi") == ExitCode.OK

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    answer = json.loads(out)
    assert answer["id"] == GENERATION_ID
    assert answer["text"] == "héllo"
    assert answer["finish_reason"] == "stop"
    assert answer["usage"]["accepted_draft_tokens"] == 4
    assert answer["first_token_seconds"] > 0


def test_media_keep_their_order_when_attached(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.say("x")
    picture, sound = tmp_path / "p.png", tmp_path / "s.wav"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    sound.write_bytes(b"RIFF\0\0\0\0WAVE")

    assert run("generate", "--audio", str(sound), "--image", str(picture), "hi") == ExitCode.OK

    parts = gateway.requests[0].contents[0].parts
    assert [part.inline_data.mime_type for part in parts[:2]] == ["audio/wav", "image/png"]
    assert parts[2].text == "hi"


def test_the_prompt_is_read_from_standard_input_when_it_is_a_dash(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.say("x")
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))

    assert run("generate", "-") == ExitCode.OK

    assert gateway.requests[0].contents[0].parts[0].text == "from a pipe"


@pytest.mark.parametrize("prompt", [os.fsdecode(b"caf\xe9"), "-"])
def test_one_line_tells_why_when_the_prompt_is_no_utf_8(
    gateway: FakeGateway,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prompt: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9"), encoding="utf-8"))

    assert run("generate", prompt) == ExitCode.USAGE

    assert capsys.readouterr().err == "facet: what is asked is not UTF-8\n"
    assert not gateway.requests


def test_what_tls_said_is_told_when_chatting(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it is for other commands: no advice to use TLS where it is used."""
    with facet.Client(gateway.address) as client:
        repl = Repl(client, client.chat(request_id=""), gateway.address, is_tls=True)
        gateway.breaks.append(Break(None))
        monkeypatch.setattr("sys.stdin", io.StringIO("hi\n"))
        repl.loop()

    assert f"no gateway answers over TLS at {gateway.address}" in capsys.readouterr().err


def test_the_key_comes_from_the_environment_when_set(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.say("x")
    monkeypatch.setenv("FACET_API_KEY", "k3y")

    run("generate", "hi")

    assert gateway.metadata["authorization"] == "Bearer k3y"


def test_models_are_listed_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models") == ExitCode.OK
    assert "nano: Test model." in capsys.readouterr().out

    assert run("models", "--json") == ExitCode.OK
    (model,) = json.loads(capsys.readouterr().out)
    assert model["input_modalities"] == ["text", "image"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["generate", "--image", "missing.png", "hi"], ExitCode.USAGE, "missing.png"),
        (["generate", "--max-output-tokens", "0", "hi"], ExitCode.USAGE, "above 0"),
        (["generate", "--timeout", "nan", "hi"], ExitCode.USAGE, "above 0"),
        (["generate"], ExitCode.USAGE, "prompt"),
        (["chat", "--model", "other"], ExitCode.REFUSED, "MODEL_NOT_FOUND"),
    ],
)
def test_one_line_tells_why_when_a_command_fails(
    argv: list[str], code: ExitCode, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv) == code

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err


def test_the_refusal_is_told_when_the_queue_is_full(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.refusal = "QUEUE_FULL"

    assert run("generate", "--json", "hi") == ExitCode.BUSY

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "facet: QUEUE_FULL: refused\n"


def test_the_way_out_is_told_when_no_gateway_answers(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.stop()

    assert run("models") == ExitCode.UNREACHABLE

    err = capsys.readouterr().err
    assert gateway.address in err
    assert "make run" in err


def test_the_conversation_goes_on_when_chatting(
    gateway: FakeGateway,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    gateway.say("answer")
    picture = tmp_path / "p.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    lines = f"one\n\n/image {picture}\n/image missing\ntwo\n/reset\nthree\n/quit\nnever\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))

    assert run("chat") == ExitCode.OK

    first, second, third = gateway.requests
    assert [part.text for part in first.contents[0].parts] == ["one"]
    assert [len(turn.parts) for turn in second.contents] == [1, 1, 2]
    assert second.contents[2].parts[0].inline_data.mime_type == "image/png"
    assert [part.text for part in third.contents[0].parts] == ["three"]
    captured = capsys.readouterr()
    assert captured.out == "answer\n" * 3
    assert "missing: No such file" in captured.err
    assert "4 of 6 drafted accepted" in captured.err


def test_it_is_called_a_test_model_when_chatting_with_nano(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    assert run("chat") == ExitCode.OK

    err = capsys.readouterr().err
    assert "nano is a test model, not Gemma 4 12B. Test model." in err
    assert "make run PROFILE=auto" in err


def test_a_failed_turn_is_told_and_forgotten_when_chatting(
    gateway: FakeGateway,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway.refusal = "QUEUE_FULL"
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))

    assert run("chat") == ExitCode.OK

    assert [len(request.contents) for request in gateway.requests] == [1, 1]
    assert capsys.readouterr().err.count("QUEUE_FULL") == 2


def test_the_generation_is_cancelled_when_the_reader_is_interrupted(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.say("a", "b")
    gateway.events.pop()
    gateway.hold = True

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("facet.client.cli.terminal.write_answer", interrupt)

    assert run("generate", "hi") == ExitCode.INTERRUPTED

    assert gateway.cancelled == [GENERATION_ID]
    assert gateway.call_ended.wait(timeout=10)


def test_the_cut_answer_ends_its_line_when_the_stream_fails(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.say("half", "lost", "end")
    gateway.events.pop(2)

    assert run("generate", "hi") == ExitCode.FAILED

    captured = capsys.readouterr()
    assert captured.out == "half\n"
    assert captured.err == "facet: offset 3 where 2 was due\n"
