"""The decoder pipeline over a small vocabulary of its own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet.worker.engine.decoding import PipelineDecoder, StopMatcher
from facet.worker.engine.port import CallPiece, Decoded, Piece, TextPiece, ThoughtPiece
from facet.worker.engine.simulated_vocabulary import (
    CALL_END,
    CALL_START,
    END,
    THOUGHT_END,
    THOUGHT_START,
    ByteDetokenizer,
    MarkerParser,
    bytes_to_ids,
)

pytestmark = pytest.mark.unit

CALL = 'look_up {"word": "日"}'
OUTPUT = (
    THOUGHT_START,
    *bytes_to_ids("hm 👩‍🚀".encode()),
    THOUGHT_END,
    *bytes_to_ids("naïve 😀 answer".encode()),
    CALL_START,
    *bytes_to_ids(CALL.encode()),
    CALL_END,
    *bytes_to_ids(b"tail STOP rest"),
    END,
)


def decoder(*stops: str, min_tokens: int = 0) -> PipelineDecoder:
    return PipelineDecoder(
        ByteDetokenizer(),
        MarkerParser(),
        stop_sequences=stops,
        end_ids=(END,),
        min_tokens=min_tokens,
    )


def joined(decoded: Sequence[Decoded]) -> list[Piece]:
    """Pieces with neighbours of one kind merged: what a client sees in the end."""
    out: list[Piece] = []
    for piece in (piece for each in decoded for piece in each.pieces):
        last = out[-1] if out else None
        if isinstance(piece, TextPiece) and isinstance(last, TextPiece):
            out[-1] = TextPiece(last.text + piece.text)
        elif isinstance(piece, ThoughtPiece) and isinstance(last, ThoughtPiece):
            out[-1] = ThoughtPiece(last.text + piece.text)
        else:
            out.append(piece)
    return out


def run(target: PipelineDecoder, ids: Sequence[int]) -> list[Decoded]:
    out = []
    for token_id in ids:
        out.append(target.push(token_id))
        if out[-1].stop_sequence is not None:
            return out
    return [*out, target.finish()]


def test_pieces_are_complete_and_in_order_when_every_kind_is_produced() -> None:
    assert joined(run(decoder(), OUTPUT)) == [
        ThoughtPiece("hm 👩‍🚀"),
        TextPiece("naïve 😀 answer"),
        CallPiece("call-0", "look_up", '{"word": "日"}'),
        TextPiece("tail STOP rest"),
    ]


def test_every_prefix_of_the_answer_is_final_when_ids_arrive_one_by_one() -> None:
    whole = "".join(p.text for p in joined(run(decoder(), OUTPUT)) if isinstance(p, TextPiece))
    target, text = decoder(), ""
    for token_id in OUTPUT:
        for piece in target.push(token_id).pieces:
            if isinstance(piece, TextPiece):
                text += piece.text
        assert whole.startswith(text)
        assert "\ufffd" not in text


def test_text_ends_before_the_stop_sequence_when_it_spans_ids() -> None:
    decoded = run(decoder("STOP"), OUTPUT)
    assert decoded[-1].stop_sequence == "STOP"
    assert joined(decoded)[-1] == TextPiece("tail ")


def test_withheld_text_is_released_in_front_of_a_call_when_it_was_no_stop_sequence() -> None:
    pieces = joined(run(decoder("answer!"), OUTPUT))
    assert pieces[1] == TextPiece("naïve 😀 answer")
    assert isinstance(pieces[2], CallPiece)


def test_withheld_text_is_released_when_generation_ends() -> None:
    assert joined(run(decoder("resting"), OUTPUT))[-1] == TextPiece("tail STOP rest")


def test_stop_sequences_do_not_match_thoughts_or_calls() -> None:
    decoded = run(decoder("hm", "look_up"), OUTPUT)
    assert decoded[-1].stop_sequence is None


def test_stop_sequences_are_ignored_when_fewer_than_min_tokens_were_made() -> None:
    ids = bytes_to_ids(b"STOP and STOP")
    assert joined(run(decoder("STOP", min_tokens=4), ids)) == [TextPiece("STOP and ")]


def test_a_call_is_dropped_when_it_did_not_end() -> None:
    ids = [*bytes_to_ids(b"x"), CALL_START, *bytes_to_ids(CALL.encode())]
    assert joined(run(decoder(), ids)) == [TextPiece("x")]


def test_thought_ids_are_counted_without_their_markers() -> None:
    target = decoder()
    run(target, OUTPUT)
    assert target.thought_token_count == len("hm 👩‍🚀".encode())


def test_the_earliest_then_longest_stop_sequence_wins_when_several_match() -> None:
    assert StopMatcher(["cd", "bcd", "b"]).push("abcde") == ("a", "bcd")


@given(
    text=st.text("abc", max_size=24), stop=st.text("abc", min_size=1, max_size=4), data=st.data()
)
def test_the_split_is_that_of_the_whole_text_when_it_comes_in_any_pieces(
    text: str, stop: str, data: st.DataObject
) -> None:
    matcher = StopMatcher([stop])
    freed, matched, position = "", None, 0
    while position < len(text) and matched is None:
        size = data.draw(st.integers(1, 4))
        piece, matched = matcher.push(text[position : position + size])
        freed, position = freed + piece, position + size
    if matched is None:
        freed += matcher.release()
    before, found, _ = text.partition(stop)
    assert (freed, matched or "") == (before, found)
