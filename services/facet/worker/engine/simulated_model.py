"""What the simulated engine says: each id is a keyed hash of ALL earlier ids.

    h(ids) = BLAKE2b-64, key b"facet-simulated", over the ids as 4-byte big-endian numbers
    choose(options, ids) = options[h(ids) mod len(options)], options in ascending order

The prompt of candidate i > 0 ends with the number i as one more id.
The answer has 24 + h(prompt) mod 41 ids before END, a character under way is completed. With
thinking on it is preceded by THOUGHT_START, 4 to 11 ids and THOUGHT_END; with tools declared it is
followed by CALL_START, the bytes of `NAME {"value": "h"}` and CALL_END. While fewer ids than the
asked minimum are out, the answer goes on. A restart that ignores the log says something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from facet.worker.engine.simulated_vocabulary import (
    CALL_END,
    CALL_START,
    END,
    THOUGHT_END,
    THOUGHT_START,
    Trie,
    bytes_to_ids,
    unit_trie,
)

_KEY = b"facet-simulated"


@dataclass(frozen=True)
class Shape:
    """What the answer consists of; `tool` is the called function's name.

    `min_tokens` ids at least come before its end.
    """

    is_thinking: bool
    tool: str | None
    min_tokens: int = 0


class SimulatedModel:
    """State of one output: feed it the ids emitted so far, then ask for the next."""

    def __init__(self, prompt_ids: Sequence[int], shape: Shape, candidate: int = 0) -> None:
        self._hash = hashlib.blake2b(digest_size=8, key=_KEY)
        for token_id in (*prompt_ids, candidate) if candidate else prompt_ids:
            self._hash.update(token_id.to_bytes(4))
        self._shape = shape
        self._answer_left = 24 + self.value() % 41
        self._thought_left = 4 + self.value() % 8 if shape.is_thinking else 0
        self._root = unit_trie()
        self._node: Trie = self._root
        self._queue: list[int] = [THOUGHT_START] if shape.is_thinking else []
        self._is_called = shape.tool is None
        self._min_left = shape.min_tokens

    def value(self) -> int:
        """H of all ids so far."""
        return int.from_bytes(self._hash.copy().digest())

    def next_id(self) -> int:
        """The next id; it does not advance."""
        if self._queue:
            return self._queue[0]
        if self._node is self._root and not self._left():
            return END if self._is_called else CALL_START
        options = sorted(self._node)
        return options[self.value() % len(options)]

    def advance(self, token_id: int) -> None:
        """Account for the id that was emitted."""
        self._hash.update(token_id.to_bytes(4))
        self._min_left = max(0, self._min_left - 1)
        if self._queue:
            self._queue.pop(0)
        elif token_id == CALL_START:
            self._is_called = True
            call = f'{self._shape.tool} {{"value": "{self.value():016x}"}}'
            self._queue = [*bytes_to_ids(call.encode()), CALL_END]
        elif token_id != END:
            self._walk(token_id)

    def _left(self) -> int:
        """Ids of thoughts and answer still to come, at least."""
        return self._thought_left + max(self._answer_left, self._min_left)

    def _walk(self, token_id: int) -> None:
        self._node = self._node[token_id] or self._root
        is_thought = self._thought_left > 0
        if is_thought and (self._thought_left > 1 or self._node is self._root):
            self._thought_left -= 1
            if not self._thought_left:
                self._queue = [THOUGHT_END]
        elif (
            not is_thought
            and self._answer_left
            and (self._answer_left > 1 or self._node is self._root)
        ):
            self._answer_left -= 1
