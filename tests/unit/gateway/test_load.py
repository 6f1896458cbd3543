"""What a request is taken for by the queue."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from facet.api.queue.v1.envelope_pb2 import MediaItem
from facet.api.v1.content_pb2 import ROLE_MODEL, Content, Part
from facet.api.v1.generation_pb2 import GenerationConfig, GenerationRequest
from facet.core.models import NANO
from facet.gateway.load import PREFIX_BYTES, envelope_version, load_of
from facet.queue.values import Needs

pytestmark = pytest.mark.unit

LARGE = dataclasses.replace(NANO, context_tokens=32_768)


def _request(text: str = "hello", *, asked: int | None = None, **fields: Any) -> GenerationRequest:
    return GenerationRequest(
        contents=[Content(parts=[Part(text=text)])],
        generation_config=GenerationConfig(max_output_tokens=asked),
        **fields,
    )


def _medium(mime_type: str, size_bytes: int = 1000, sha256: bytes = b"1") -> MediaItem:
    return MediaItem(mime_type=mime_type, size_bytes=size_bytes, sha256=sha256)


@pytest.mark.parametrize(("text", "tokens"), [("a", 1), ("abcd", 1), ("abcde", 2), ("é" * 4, 2)])
def test_text_is_estimated_by_its_bytes_when_counted(text: str, tokens: int) -> None:
    assert load_of(_request(text), [], NANO, "alice").prompt_tokens == tokens


@pytest.mark.parametrize(
    ("mime_type", "size_bytes", "tokens"),
    [
        ("image/png", 5_000_000, 280),
        ("video/mp4", 5_000_000, 1120),
        ("audio/wav", 64_000, 50),
        ("audio/wav", 10_000_000, 750),
        ("audio/mpeg", 16_000, 50),
    ],
)
def test_media_are_estimated_by_kind_and_size_when_counted(
    mime_type: str, size_bytes: int, tokens: int
) -> None:
    load = load_of(_request("abcd"), [_medium(mime_type, size_bytes)], NANO, "alice")
    assert load.prompt_tokens == 1 + tokens


@pytest.mark.parametrize(
    ("size", "asked", "bucket"),
    [(4, None, 1024), (4096, None, 1024), (4100, None, 2048), (4, 1500, 2048), (40_000, 1, 16_384)],
)
def test_bucket_holds_prompt_and_asked_answer_when_filed(
    size: int, asked: int | None, bucket: int
) -> None:
    load = load_of(_request("x" * size, asked=asked), [], LARGE, "alice")
    assert load.needs.context_tokens == bucket
    assert load.max_output_tokens == (asked or LARGE.max_output_tokens)


def test_needs_are_no_more_than_the_card_offers_when_the_prompt_is_large() -> None:
    media = [_medium("video/mp4"), _medium("image/png"), _medium("image/png")]
    load = load_of(_request("x" * 100_000, adapter="mine"), media, NANO, "alice")
    assert load.needs == Needs(1, NANO.context_tokens, "iv", "mine")


def test_names_of_what_may_be_warm_are_a_tenants_own_when_given() -> None:
    request = _request(session_id="s", system_instruction=Content(parts=[Part(text="be brief")]))
    media = [_medium("image/png", sha256=bytes([number])) for number in range(3)]
    names = load_of(request, media, NANO, "alice").affinity
    assert [name[:2] for name in names] == ["s:", "m:", "m:", "p:"]
    assert all(len(name) == 18 for name in names)
    assert not set(names) & set(load_of(request, media, NANO, "bob").affinity)
    assert load_of(request, media, NANO, "alice").affinity == names


def test_prefix_is_the_same_when_a_conversation_goes_on() -> None:
    first = _request(system_instruction=Content(parts=[Part(text="be brief")]))
    later = GenerationRequest.FromString(first.SerializeToString())
    later.contents.add(role=ROLE_MODEL, parts=[Part(text="hi")])
    later.contents.add(parts=[Part(text="and now?")])
    names = [load_of(each, [], NANO, "alice").affinity for each in (first, later)]
    assert len(names[0]) == 1
    assert names[0] == names[1]
    assert load_of(_request(), [], NANO, "alice").affinity == ()


@pytest.mark.parametrize(("count", "sequences", "version"), [(None, 1, 1), (1, 1, 1), (5, 5, 2)])
def test_candidates_take_seats_and_an_able_worker_when_there_are_several(
    count: int | None, sequences: int, version: int
) -> None:
    request = _request(asked=100)
    if count is not None:
        request.generation_config.candidate_count = count
    load = load_of(request, [], NANO, "alice")
    assert (load.sequences, load.max_output_tokens) == (sequences, 100)
    assert load.needs.envelope_version == envelope_version(request) == version


def test_conversations_share_a_name_when_their_instruction_is_long() -> None:
    def affinity(instruction: str, text: str) -> tuple[str, ...]:
        system = Content(parts=[Part(text=instruction)])
        return load_of(_request(text, system_instruction=system), [], NANO, "alice").affinity

    long = "be brief " * (PREFIX_BYTES // 9 + 1)
    one, other = affinity(long, "one"), affinity(long, "other")
    assert [name[:2] for name in one] == ["p:", "i:"]
    assert one[0] != other[0]
    assert one[1] == other[1]
    assert one[1] not in affinity(long + "!", "one")
    assert [name[:2] for name in affinity("be brief", "one")] == ["p:"]


def test_second_turn_finds_the_first_when_that_was_long() -> None:
    first = _request("x" * PREFIX_BYTES)
    later = GenerationRequest.FromString(first.SerializeToString())
    later.contents.add(role=ROLE_MODEL, parts=[Part(text="hi")])
    later.contents.add(parts=[Part(text="and now?")])
    names = [load_of(each, [], NANO, "alice").affinity for each in (first, later)]
    assert len(names[0]) == 1
    assert names[0] == names[1]
