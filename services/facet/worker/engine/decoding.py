"""Ids to pieces of answer, one id at a time, as a pure function of the ids.

Three stages: a detokenizer that yields complete characters, a parser that splits text into answer,
thoughts and calls, and a stop matcher on the answer. Each engine adapter brings the first two.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from facet.worker.engine.port import Decoded, Piece, TextPiece


class Detokenizer(Protocol):
    """Text of ids."""

    def push(self, token_id: int) -> str:
        """Complete characters that this id brought; half a character is kept for later."""


class Parser(Protocol):
    """Splits the output into answer, thoughts and calls."""

    @property
    def thought_token_count(self) -> int:
        """Ids so far that are thoughts."""

    def push(self, text: str, token_id: int) -> Sequence[Piece]:
        """Account for an id and the text that it brought."""

    def finish(self) -> Sequence[Piece]:
        """Release what is withheld; a call that did not end is dropped."""


class StopMatcher:
    """Finds the first stop sequence in a text that arrives in pieces.

    Text that may be the beginning of a stop sequence is withheld until that is decided.
    """

    def __init__(self, stop_sequences: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stop_sequences if stop)
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Text that is free to go, and the stop sequence that begins after it, if any."""
        text = self._held + text
        self._held = ""
        found = [(text.find(stop), -len(stop), stop) for stop in self._stops if stop in text]
        if found:
            start, _, stop = min(found)
            return text[:start], stop
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], None

    def release(self) -> str:
        """The withheld text, which turned out to be no stop sequence."""
        held, self._held = self._held, ""
        return held


class PipelineDecoder:
    """Implements `Decoder` with the stages given.

    `end_ids` end the turn and have no text. Stop sequences are not looked for in the text of the
    first `min_tokens` ids.
    """

    def __init__(
        self,
        detokenizer: Detokenizer,
        parser: Parser,
        *,
        stop_sequences: Sequence[str],
        end_ids: Collection[int],
        min_tokens: int = 0,
    ) -> None:
        self._detokenizer = detokenizer
        self._parser = parser
        self._stops = StopMatcher(stop_sequences)
        self._end_ids = frozenset(end_ids)
        self._min_tokens = min_tokens
        self._count = 0

    @property
    def thought_token_count(self) -> int:
        """See `Decoder.thought_token_count`."""
        return self._parser.thought_token_count

    def push(self, token_id: int) -> Decoded:
        """See `Decoder.push`."""
        self._count += 1
        if token_id in self._end_ids:
            return Decoded()
        return self._match(self._parser.push(self._detokenizer.push(token_id), token_id))

    def finish(self) -> Decoded:
        """See `Decoder.finish`."""
        decoded = self._match(self._parser.finish())
        held = "" if decoded.stop_sequence else self._stops.release()
        if not held:
            return decoded
        return Decoded((*decoded.pieces, TextPiece(held)))

    def _match(self, pieces: Sequence[Piece]) -> Decoded:
        if not pieces:
            return Decoded()
        out: list[Piece] = []
        for piece in pieces:
            if isinstance(piece, TextPiece) and self._count > self._min_tokens:
                text, stop = self._stops.push(piece.text)
                if text:
                    out.append(TextPiece(text))
                if stop is not None:
                    return Decoded(tuple(out), stop)
                continue
            if held := self._stops.release():
                out.append(TextPiece(held))
            out.append(piece)
        return Decoded(tuple(out))


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`, and not all of it."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
