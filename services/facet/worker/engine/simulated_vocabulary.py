"""Vocabulary of the simulated engine: control ids, byte ids and whole words.

Ids 0..15 are control ids; 16..271 are the bytes 0..255; from 272 on come the words of `WORDS`.
Output is built of units: a unit is one word, or the bytes of one character of `CHARACTERS`. The
units form a trie of ids, so that every id but the last of a unit leaves half a character behind.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from facet.worker.engine.port import CallPiece, Piece, TextPiece, ThoughtPiece

END, THOUGHT_START, THOUGHT_END, CALL_START, CALL_END = 1, 2, 3, 4, 5
FIRST_BYTE = 16
FIRST_WORD = FIRST_BYTE + 256

WORDS = (
    " the", " a", " river", " stone", " light", " café", " naïve", " über", " señor", " fjord",
    " 東京", " привет", ",", ".", " and", " of", " runs", " over", " under", " quickly",
)  # fmt: skip
CHARACTERS = ("😀", "😎", "🚀", "👩‍🚀", "é", "ß", "你", "ñ")

Trie = dict[int, "Trie"]


def bytes_to_ids(data: bytes) -> list[int]:
    """Byte ids of data."""
    return [FIRST_BYTE + byte for byte in data]


def unit_trie() -> Trie:
    """The trie of all units; a leaf is an empty mapping."""
    root: Trie = {}
    units = [[FIRST_WORD + index] for index in range(len(WORDS))]
    units += [bytes_to_ids((" " + character).encode()) for character in CHARACTERS]
    for unit in units:
        node = root
        for token_id in unit:
            node = node.setdefault(token_id, {})
    return root


class ByteDetokenizer:
    """Implements `Detokenizer` for this vocabulary."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """See `Detokenizer.push`."""
        if token_id >= FIRST_WORD:
            return self._decoder.decode(WORDS[token_id - FIRST_WORD].encode())
        if token_id >= FIRST_BYTE:
            return self._decoder.decode(bytes([token_id - FIRST_BYTE]))
        return ""


class MarkerParser:
    """Implements `Parser`: thoughts and calls stand between control ids.

    A call is `NAME {JSON}`.
    """

    def __init__(self) -> None:
        self._mode = END
        self._call = ""
        self._calls = 0
        self._thought_tokens = 0

    @property
    def thought_token_count(self) -> int:
        """See `Parser.thought_token_count`."""
        return self._thought_tokens

    def push(self, text: str, token_id: int) -> Sequence[Piece]:
        """See `Parser.push`."""
        if token_id in (THOUGHT_START, CALL_START):
            self._mode = token_id
            return ()
        if token_id in (THOUGHT_END, CALL_END):
            self._mode = END
            return self._end_call() if token_id == CALL_END else ()
        if self._mode == THOUGHT_START:
            self._thought_tokens += 1
            return (ThoughtPiece(text),) if text else ()
        if self._mode == CALL_START:
            self._call += text
            return ()
        return (TextPiece(text),) if text else ()

    def finish(self) -> Sequence[Piece]:
        """See `Parser.finish`."""
        return ()

    def _end_call(self) -> Sequence[Piece]:
        name, _, arguments = self._call.partition(" ")
        piece = CallPiece(f"call-{self._calls}", name, arguments)
        self._calls += 1
        self._call = ""
        return (piece,)
