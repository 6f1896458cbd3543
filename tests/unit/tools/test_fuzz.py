"""The fuzzer: it plays every target, repeats itself, and finds what is planted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from facet.core.errors import GenerationNotFoundError
from facet.gateway.model_service import ModelService
from facet.gateway.validation import images
from facet.queue.memory_producer import MemoryProducer
from facet.queue.memory_queue import MemoryQueue
from facet.worker.engine.media_decode import MediaDecoder
from facet.worker.engine.port import Medium
from tools.fuzz import run
from tools.fuzz.case import Case, load, save
from tools.fuzz.decoding import whole_media
from tools.fuzz.gateway import FuzzedGateway
from tools.fuzz.run import Outcome, play, replay
from tools.fuzz.seeded import (
    SECRET,
    STRANGER,
    THEIRS,
    ToldError,
    check_content,
    check_untouched,
    seed,
)

pytestmark = pytest.mark.unit

INPUTS = 500


def _findings(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_nothing_is_unhandled_when_a_few_hundred_inputs_are_played(tmp_path: Path) -> None:
    outcome = await play(0, INPUTS, 1, tmp_path)
    assert (outcome.unhandled, outcome.said) == (0, [])
    assert sum(outcome.by_target.values()) == INPUTS
    assert len(outcome.by_target) >= 20
    assert min(outcome.by_target.values()) >= INPUTS // 50


async def test_a_planted_bug_is_found_and_replayed_when_a_handler_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: ModelService, request: Any, call: Any) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(ModelService, "get_model", broken)
    outcome = await play(0, INPUTS, 1, tmp_path)
    findings = _findings(tmp_path)
    assert outcome.unhandled == len(findings) > 0
    assert "planted" in outcome.said[0]
    finding = load(findings[0])
    with pytest.raises(Exception, match="planted"):
        await replay(finding)
    monkeypatch.undo()
    await replay(finding)


async def test_a_planted_bug_is_found_when_it_lies_deep_in_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(data: bytes, mime_type: str) -> str:
        raise IndexError("planted")

    assert callable(images.image_fault)
    monkeypatch.setattr("facet.gateway.validation.media.image_fault", broken)
    outcome: Outcome = await play(0, INPUTS, 1, tmp_path)
    assert outcome.unhandled > 0


async def test_calls_reach_generations_that_are_there_when_a_few_hundred_are_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: dict[str, Counter[str]] = {}
    call = FuzzedGateway.call

    async def counted(self: FuzzedGateway, method: str, body: bytes, metadata: Any) -> Any:
        code = await call(self, method, body, metadata)
        codes.setdefault(method.rpartition("/")[2], Counter())[code.name] += 1
        return code

    monkeypatch.setattr(FuzzedGateway, "call", counted)
    await play(0, 2 * INPUTS, 1, tmp_path)
    for method in ("GetGeneration", "AttachGeneration", "CancelGeneration", "DeleteGeneration"):
        assert codes[method]["OK"] >= 5, (method, codes[method])
        assert codes[method]["NOT_FOUND"] >= 3, (method, codes[method])
    assert codes["ListGenerations"]["OK"] >= 5


@pytest.mark.parametrize(
    ("methods", "found"),
    [
        (("status",), "another tenant, and not NOT_FOUND"),
        (("status",), "names a generation of another tenant"),
        (("status", "cancel"), "of another tenant was changed"),
    ],
)
async def test_it_is_found_when_the_store_does_not_ask_whose_a_generation_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, methods: Sequence[str], found: str
) -> None:
    def of_anybody(own: Any) -> Any:
        async def method(self: MemoryProducer, generation_id: str, tenant: str) -> Any:
            record = self._ledger.find(generation_id)
            return await own(self, generation_id, record.tenant if record else tenant)

        return method

    for name in methods:
        monkeypatch.setattr(MemoryProducer, name, of_anybody(getattr(MemoryProducer, name)))
    monkeypatch.setattr(run, "CASE_SECONDS", 1.0)
    outcome = await play(0, 2 * INPUTS, 1, tmp_path)
    assert found in "".join(outcome.said)


def test_it_is_found_when_content_of_another_tenant_is_told() -> None:
    check_content([b"hello"])
    with pytest.raises(ToldError, match="content"):
        check_content([b"hello", SECRET.encode()])


async def test_it_is_found_when_a_generation_of_another_tenant_is_gone() -> None:
    queue = MemoryQueue()
    await seed(queue)
    await check_untouched(queue)
    await queue.cancel(THEIRS[0], STRANGER)
    await queue.delete(THEIRS[0], STRANGER)
    with pytest.raises(GenerationNotFoundError):
        await check_untouched(queue)


async def test_it_is_found_when_another_tenants_generations_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = MemoryProducer.list_generations

    async def listed(self: MemoryProducer, tenant: str, *, page: str, limit: int) -> Any:
        return await own(self, STRANGER, page=page, limit=limit)

    monkeypatch.setattr(MemoryProducer, "list_generations", listed)
    outcome = await play(0, INPUTS, 1, tmp_path)
    assert "names a generation of another tenant" in "".join(outcome.said)


async def test_a_decoder_that_raises_or_hangs_is_found_when_a_medium_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: MediaDecoder, medium: Any, path: str) -> Any:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(MediaDecoder, "_decode_one", broken)
    outcome = await play(0, 60, 1, tmp_path)
    assert outcome.unhandled == outcome.by_target["decoding"] == 2

    release = threading.Event()
    monkeypatch.setattr(MediaDecoder, "_decode_one", lambda *_: release.wait(60))
    monkeypatch.setattr(run, "CASE_SECONDS", 0.2)
    outcome = await play(0, 60, 1, tmp_path)
    release.set()
    assert sum("TimeoutError" in each for each in outcome.said) == outcome.by_target["decoding"]


def test_media_can_be_decoded_when_they_are_not_mutated() -> None:
    assert {mime_type.partition("/")[0] for mime_type, _ in whole_media()} == {
        "image",
        "audio",
        "video",
    }
    decoder = MediaDecoder(threads=1)
    for mime_type, data in whole_media():
        assert decoder._decode_one(Medium(mime_type, b"", data), "part").data is not None
    decoder.close()


def test_a_case_is_the_same_when_it_was_saved_and_loaded(tmp_path: Path) -> None:
    case = Case("x", b"\0\xff", (("authorization", "Bearer é"), ("x-bin", b"\xff")))
    save(case, tmp_path / "case.json")
    assert load(tmp_path / "case.json") == case
