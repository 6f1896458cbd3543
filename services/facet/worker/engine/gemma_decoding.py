"""Decoder stages for Gemma 4: the tokenizer's own decode stream and vLLM's Gemma 4 parser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from tokenizers.decoders import DecodeStream
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser.gemma4 import Gemma4Parser

from facet.worker.engine.port import CallPiece, Piece, TextPiece, ThoughtPiece

_PRIMER_IDS = 16
"""Of the prompt's end; a character has four bytes at most, of an id each."""

_INVALID_PREFIX = "Invalid prefix encountered"

_log = structlog.get_logger(__name__)


class StreamDetokenizer:
    """Incremental text of ids after a prompt, special tokens included.

    `tokenizer` is a `tokenizers.Tokenizer`. The stream is primed with the end of the prompt,
    because the text of an id may depend on the one before it; it decodes all that it is primed
    with, for a prompt of 128k tokens 110 ms, while all other streams wait.
    """

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        primer = list(prompt_ids[-_PRIMER_IDS:])
        self._stream = DecodeStream(ids=primer, skip_special_tokens=False)

    def push(self, token_id: int) -> str:
        """See `Detokenizer.push`."""
        try:
            return self._stream.step(self._tokenizer, token_id) or ""
        # The library raises a bare Exception; only its text tells this case.
        except Exception as error:
            if not str(error).startswith(_INVALID_PREFIX):
                raise
            # Ids that are no valid UTF-8 can break the stream's prefix; vLLM restarts it too.
            self._stream = DecodeStream(skip_special_tokens=False)
            return self._stream.step(self._tokenizer, token_id) or ""


class _WholeCallParser(Gemma4Parser):  # type: ignore[misc]
    """Gemma 4 parser that hands out calls whole when they end, instead of argument deltas."""

    def __init__(self, tokenizer: Any, tools: Any, **kwargs: Any) -> None:
        super().__init__(tokenizer, tools, **kwargs)
        # Argument deltas would convert the whole call again at every id.
        self._stream_arg_deltas = False
        self.ended_calls: list[tuple[str, str]] = []

    def _handle_tool_end(self, event: Any, deltas: Any) -> None:
        slot = self._tool_slots[event.tool_index]
        name = slot.name.strip()
        if not self._accept_tool_name(name):
            return
        arguments = self._arg_converter(slot.args, False) if slot.args.strip() else "{}"
        self.ended_calls.append((name, self._fix_arg_types(arguments, name)))

    def _handle_arg_chunk(self, event: Any, deltas: Any) -> None:
        if event.value:
            self._tool_slots[event.tool_index].append_args(event.value)


class GemmaParser:
    """Thoughts, answer and calls in Gemma 4's output.

    `tools` are OpenAI-style declarations; calls of other functions are dropped, as vLLM does.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        tools: list[dict[str, Any]],
        is_thinking: bool,
        allows_calls: bool,
        prompt_ids: Sequence[int],
    ) -> None:
        self._request = ChatCompletionRequest(
            messages=[],
            tools=tools or None,
            tool_choice=("auto" if allows_calls else "none") if tools else None,
        )
        self._parser = _WholeCallParser(
            tokenizer, self._request.tools, chat_template_kwargs={"enable_thinking": is_thinking}
        )
        self._prompt_ids: list[int] | None = list(prompt_ids)
        self._calls = 0

    @property
    def thought_token_count(self) -> int:
        """See `Parser.thought_token_count`."""
        return int(self._parser.count_reasoning_tokens(()))

    def push(self, text: str, token_id: int) -> Sequence[Piece]:
        """See `Parser.push`."""
        # Only the first call looks at the prompt.
        prompt_ids, self._prompt_ids = self._prompt_ids, None
        delta = self._parser.parse_delta(
            text, [token_id], self._request, prompt_ids, finished=False
        )
        return self._pieces(delta)

    def finish(self) -> Sequence[Piece]:
        """See `Parser.finish`."""
        ended = len(self._parser.ended_calls)
        delta = self._parser.parse_delta("", [], self._request, None, finished=True)
        # What ends only now was cut off: half a call must not be executed.
        del self._parser.ended_calls[ended:]
        return self._pieces(delta)

    def _pieces(self, delta: Any) -> Sequence[Piece]:
        calls = self._parser.ended_calls
        if delta is None and not calls:
            return ()
        pieces: list[Piece] = []
        if delta is not None and delta.reasoning:
            pieces.append(ThoughtPiece(delta.reasoning))
        # vLLM puts text that stands beside a call in front of it.
        if delta is not None and delta.content:
            pieces.append(TextPiece(delta.content))
        for name, arguments in calls:
            pieces.append(CallPiece(f"call-{self._calls}", name, arguments))
            self._calls += 1
        calls.clear()
        return pieces
