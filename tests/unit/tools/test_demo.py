"""The demo's questions and its verdict."""

import pytest

from tools.demo import KINDS, Outcome, Question, questions, result

pytestmark = pytest.mark.unit

ASKED = [Question("text", (), "?", "Paris"), Question("image", (), "?", "red square")]


def outcome(answer: str) -> Outcome:
    return Outcome(answer, first_token_seconds=0.1, accepted_draft_tokens=2, drafted_tokens=3)


def test_every_modality_is_asked_when_a_seed_is_given() -> None:
    asked = questions(0)

    assert [question.kind for question in asked] == list(KINDS)
    for question in asked[1:]:
        media = [part.inline_data.mime_type for part in question.parts if part.inline_data.data]
        assert [mime_type.partition("/")[0] for mime_type in media] == [question.kind]
    assert all(question.expected and question.shown for question in asked)


def test_questions_are_the_same_when_the_seed_is_the_same() -> None:
    assert questions(7) == questions(7)
    assert questions(7) != questions(8)


def test_the_verdict_is_good_when_every_answer_is_right() -> None:
    outcomes = {"text": outcome("Paris"), "image": outcome("red square")}

    assert result(ASKED, outcomes) == {
        "ok": True,
        "answers": {"text": "Paris", "image": "red square"},
        "expected": {"text": "Paris", "image": "red square"},
        "accepted_draft_tokens": 4,
    }


def test_the_verdict_is_bad_when_an_answer_is_wrong() -> None:
    outcomes = {"text": outcome("Paris"), "image": outcome("red circle")}

    assert result(ASKED, outcomes)["ok"] is False


def test_the_answer_is_null_when_its_question_failed() -> None:
    verdict = result(ASKED, {"text": outcome("Paris")})

    assert verdict["ok"] is False
    assert verdict["answers"] == {"text": "Paris", "image": None}
