"""The turns of a conversation, for both clients."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from facet.client.content import Content, Part, user_turn
from facet.client.generation import Generation
from facet.client.request import GenerateOptions


class Turns:
    """Turns said so far, and the options that hold for all of them.

    Without a `session_id` of the caller's one is made, so that turns meet warm caches.
    """

    def __init__(self, options: GenerateOptions) -> None:
        self._options = options
        self._session_id = options.get("session_id") or uuid.uuid4().hex
        self.contents: list[Content] = []

    def ask(
        self, parts: Sequence[str | Part], options: GenerateOptions
    ) -> tuple[list[Content], GenerateOptions]:
        """The conversation with a new turn at its end, and the options of its call."""
        merged: GenerateOptions = {**self._options, "session_id": self._session_id, **options}
        return [*self.contents, user_turn(*parts)], merged

    def keep(self, turn: Content, answer: Generation) -> None:
        """Add a turn that was answered."""
        self.contents += [turn, answer.content]

    def reset(self) -> None:
        """Forget all turns."""
        self.contents = []
