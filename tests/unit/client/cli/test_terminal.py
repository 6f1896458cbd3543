"""What is written to a terminal and to a pipe."""

import pytest

from facet.client import Usage
from facet.client.cli import terminal

pytestmark = pytest.mark.unit

STEERING = "a\x1b[2Jb\x07\n\tc"


def test_text_cannot_steer_when_it_goes_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    terminal.write_answer(STEERING)

    assert capsys.readouterr().out == "a[2Jb\n\tc"


def test_a_servers_words_cannot_steer_when_they_go_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.note(STEERING)
    assert capsys.readouterr().err == f"{STEERING}\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    terminal.note(STEERING)
    assert capsys.readouterr().err == "a[2Jb\n\tc\n"


def test_text_is_exact_when_it_goes_to_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.write_answer(STEERING)

    assert capsys.readouterr().out == STEERING


def test_thoughts_stay_out_when_the_answer_goes_to_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.write_thought("hm")

    assert capsys.readouterr().out == ""


def test_the_summary_counts_thoughts_when_there_are_any() -> None:
    usage = Usage(
        prompt_tokens=10,
        output_tokens=5,
        thought_tokens=2,
        drafted_tokens=6,
        accepted_draft_tokens=4,
    )

    assert terminal.summary(usage, 0.5) == (
        "[10 + 7 tokens, first after 0.50 s, 4 of 6 drafted accepted]"
    )
