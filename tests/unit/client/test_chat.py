"""The turns of a conversation."""

import pytest

import facet
from facet.client import FinishReason, Generation, Timings, Usage
from facet.client.chat import Turns

pytestmark = pytest.mark.unit


def answer(text: str) -> Generation:
    return Generation(
        id="g",
        text=text,
        thoughts="",
        function_calls=(),
        finish_reason=FinishReason.STOP,
        usage=Usage(),
        timings=Timings(),
        content=facet.model_turn(text),
    )


def test_turns_accumulate_when_they_are_answered() -> None:
    turns = Turns({})
    asked, _ = turns.ask(["hi"], {})
    turns.keep(asked[-1], answer("hello"))

    contents, _ = turns.ask(["again"], {})

    assert contents == [
        facet.user_turn("hi"),
        facet.model_turn("hello"),
        facet.user_turn("again"),
    ]


def test_a_turn_leaves_no_trace_when_it_is_not_answered() -> None:
    turns = Turns({})
    turns.ask(["lost"], {})

    assert turns.contents == []


def test_the_session_is_the_same_when_turns_follow_each_other() -> None:
    turns = Turns({})

    _, first = turns.ask(["a"], {})
    _, second = turns.ask(["b"], {})

    assert first["session_id"] == second["session_id"] != ""


def test_options_of_a_turn_win_when_the_conversation_has_others() -> None:
    turns = Turns({"temperature": 1.0, "session_id": "mine"})

    _, options = turns.ask(["a"], {"temperature": 0.0})

    assert options["temperature"] == 0.0
    assert options["session_id"] == "mine"


def test_turns_are_forgotten_when_reset() -> None:
    turns = Turns({})
    turns.keep(facet.user_turn("a"), answer("b"))

    turns.reset()

    assert turns.contents == []
