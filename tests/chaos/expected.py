"""What the simulated engine must answer: a second implementation of its definition.

It is written from the documented definition alone and imports nothing of the engine, so that an
error of either shows as a difference. Ids: 1 ends, 2 and 3 enclose thoughts, 4 and 5 a call, 16
plus a byte stands for that byte, from 272 on come whole words. Each id is chosen by a keyed hash
of the prompt's ids and all ids before it. The prompt of candidate i > 0 has the number i as a last
id.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from facet.api.v1 import content_pb2, generation_pb2

_END, _THOUGHT, _THOUGHT_ENDS, _CALL, _CALL_ENDS = 1, 2, 3, 4, 5
_BYTE, _WORD = 16, 272
_MAX_OUTPUT_TOKENS = 2048

_WORDS = [
    *(" the", " a", " river", " stone", " light", " café", " naïve", " über", " señor", " fjord"),
    *(" 東京", " привет", ",", ".", " and", " of", " runs", " over", " under", " quickly"),
]
_SYMBOLS = [" 😀", " 😎", " 🚀", " 👩‍🚀", " é", " ß", " 你", " ñ"]

_FinishReason = generation_pb2.FinishReason


@dataclass(frozen=True)
class Answer:
    """The whole answer, and how much of it must and may be out after each id.

    Entry k of `released`, `decoded` and `thought_lengths` is a number of characters after k ids:
    of text that nothing withholds, of text that exists, and of thoughts.
    """

    prompt_tokens: int
    output_tokens: int
    thought_tokens: int
    text: str
    thoughts: str
    call: tuple[str, str, str] | None
    call_at: int
    finish_reason: generation_pb2.FinishReason.ValueType
    stop_sequence: str
    released: Sequence[int]
    decoded: Sequence[int]
    thought_lengths: Sequence[int]


def answers_of(request: generation_pb2.GenerationRequest) -> tuple[Answer, ...]:
    """The right answer of each candidate, by index."""
    count = request.generation_config.candidate_count or 1
    return tuple(answer_of(request, candidate) for candidate in range(count))


def answer_of(request: generation_pb2.GenerationRequest, candidate: int = 0) -> Answer:
    """The one right answer to a request without media, by its generation config."""
    config = request.generation_config
    prompt = prompt_bytes(request)
    limit = config.max_output_tokens or _MAX_OUTPUT_TOKENS
    state = _Hash(prompt)
    if candidate:
        state.add(candidate)
    spoken = _speak(state, config.thinking.enabled, _tool(request), config.min_output_tokens)
    ids = list(itertools.islice(spoken, limit))
    return _Reading(ids, config).answer(len(prompt))


def prompt_bytes(request: generation_pb2.GenerationRequest) -> bytes:
    """The prompt: a line a turn as `ROLE:text`, system instruction first, tools, number of media.

    Its ids are these bytes, so it counts as many tokens.
    """
    turns = [request.system_instruction, *request.contents]
    lines = [f"{turn.role}:" + "".join(part.text for part in turn.parts) for turn in turns]
    return "\n".join([*lines, *_tools(request), "0"]).encode()


def _tools(request: generation_pb2.GenerationRequest) -> list[str]:
    if request.tool_config.mode == content_pb2.FUNCTION_CALLING_MODE_NONE:
        return []
    return [f.name for tool in request.tools for f in tool.function_declarations]


def _tool(request: generation_pb2.GenerationRequest) -> str | None:
    return next(iter(_tools(request)), None)


class _Hash:
    """BLAKE2b-64 over ids as big-endian 32-bit numbers."""

    def __init__(self, prompt: bytes) -> None:
        self._state = hashlib.blake2b(key=b"facet-simulated", digest_size=8)
        for byte in prompt:
            self.add(_BYTE + byte)

    def add(self, token_id: int) -> None:
        self._state.update(token_id.to_bytes(4, "big"))

    def number(self) -> int:
        return int.from_bytes(self._state.digest(), "big")


def _spelled(text: str) -> tuple[int, ...]:
    return tuple(_BYTE + byte for byte in text.encode())


_UNITS = {(_WORD + index,) for index in range(len(_WORDS))} | {_spelled(s) for s in _SYMBOLS}
_NEXT = {
    begun: sorted({unit[len(begun)] for unit in _UNITS if unit[: len(begun)] == begun})
    for begun in {unit[:length] for unit in _UNITS for length in range(len(unit))}
}


def _speak(state: _Hash, thinks: bool, tool: str | None, minimum: int) -> Iterator[int]:
    """All ids up to the end, as if nothing limited or stopped them."""
    spoken = 0

    def say(token_id: int) -> int:
        nonlocal spoken
        state.add(token_id)
        spoken += 1
        return token_id

    def prose(least: int, least_spoken: int) -> Iterator[int]:
        """At least so many ids, whole units, and until so many ids were spoken in all."""
        said = 0
        begun: tuple[int, ...] = ()
        while said < least or begun or spoken < least_spoken:
            options = _NEXT[begun]
            token_id = say(options[state.number() % len(options)])
            said += 1
            begun = () if (*begun, token_id) in _UNITS else (*begun, token_id)
            yield token_id

    first = state.number()
    if thinks:
        yield say(_THOUGHT)
        yield from prose(4 + first % 8, 0)
        yield say(_THOUGHT_ENDS)
    yield from prose(24 + first % 41, minimum)
    if tool is not None:
        yield say(_CALL)
        for token_id in _spelled(f'{tool} {{"value": "{state.number():016x}"}}'):
            yield say(token_id)
        yield say(_CALL_ENDS)
    yield _END


class _Reading:
    """Reads ids to the end that the engine's decoder comes to."""

    def __init__(self, ids: Sequence[int], config: generation_pb2.GenerationConfig) -> None:
        self._ids = ids
        self._stops = [stop for stop in config.stop_sequences if stop]
        self._minimum = config.min_output_tokens
        self._shows_thoughts = config.thinking.include_thoughts
        self._sections = {_THOUGHT: b"", _END: b"", _CALL: b""}
        self._lengths: dict[str, list[int]] = {"released": [0], "decoded": [0], "thoughts": [0]}
        self._unsearched = 0
        self._thought_tokens = 0
        self._call_at = 0

    def answer(self, prompt_tokens: int) -> Answer:
        found = self._read()
        text, stop = found if found else (_whole(self._sections[_END]), "")
        count = len(self._lengths["decoded"]) - 1
        ended = bool(found) or self._ids[count - 1] == _END
        reason = (
            _FinishReason.FINISH_REASON_STOP if ended else _FinishReason.FINISH_REASON_MAX_TOKENS
        )
        call = self._call() if self._call_at else None
        if call and ended:
            reason = _FinishReason.FINISH_REASON_TOOL_CALLS
        self._lengths["released"][-1] = len(text)
        return Answer(
            prompt_tokens=prompt_tokens,
            output_tokens=count,
            thought_tokens=self._thought_tokens,
            text=text,
            thoughts=_whole(self._sections[_THOUGHT]) if self._shows_thoughts else "",
            call=call,
            call_at=self._call_at,
            finish_reason=reason,
            stop_sequence=stop,
            released=[min(length, len(text)) for length in self._lengths["released"]],
            decoded=[min(length, len(text)) for length in self._lengths["decoded"]],
            thought_lengths=self._lengths["thoughts"],
        )

    def _read(self) -> tuple[str, str] | None:
        """Go through the ids up to a stop sequence; the text before it, and which it was."""
        section = _END
        for count, token_id in enumerate(self._ids, start=1):
            if token_id in (_THOUGHT, _CALL):
                section = token_id
            elif token_id in (_THOUGHT_ENDS, _CALL_ENDS):
                section = _END
                self._call_at = count if token_id == _CALL_ENDS else 0
            elif token_id != _END:
                self._sections[section] += _bytes_of(token_id)
                self._thought_tokens += section == _THOUGHT
            text = _whole(self._sections[_END])
            if count <= self._minimum:
                self._unsearched = len(text)
            found = self._stopped(text)
            self._note(text)
            if found:
                return found
        return None

    def _stopped(self, text: str) -> tuple[str, str] | None:
        searched = text[self._unsearched :]
        hits = [
            (searched.index(stop), -len(stop), stop) for stop in self._stops if stop in searched
        ]
        if not hits:
            return None
        start, _, stop = min(hits)
        return text[: self._unsearched + start], stop

    def _note(self, text: str) -> None:
        searched = text[self._unsearched :]
        withheld = 0
        if not self._call_at:
            begun = [stop[:n] for stop in self._stops for n in range(1, len(stop))]
            withheld = max((len(b) for b in begun if searched.endswith(b)), default=0)
        self._lengths["released"].append(len(text) - withheld)
        self._lengths["decoded"].append(len(text))
        shown = len(_whole(self._sections[_THOUGHT])) if self._shows_thoughts else 0
        self._lengths["thoughts"].append(shown)

    def _call(self) -> tuple[str, str, str]:
        name, _, arguments = self._sections[_CALL].decode().partition(" ")
        return "call-0", name, arguments


def _bytes_of(token_id: int) -> bytes:
    if token_id >= _WORD:
        return _WORDS[token_id - _WORD].encode()
    return bytes([token_id - _BYTE])


def _whole(data: bytes) -> str:
    """The characters that are complete."""
    return data.decode(errors="ignore")
