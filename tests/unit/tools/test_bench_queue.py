"""The queue benchmark's accounts and its load."""

from __future__ import annotations

from itertools import islice

import pytest

from facet.api.queue.v1.envelope_pb2 import Envelope
from facet.queue.lua import load_scripts
from facet.queue.values import Lease, Verdict, WriteResult
from tools.bench import traffic
from tools.bench.queue import arguments
from tools.bench.queue_cycles import Lives

pytestmark = pytest.mark.unit


def test_a_submission_carries_a_real_envelope_when_it_is_made() -> None:
    made = traffic.submission(1234)

    envelope = Envelope.FromString(made.envelope)
    assert (envelope.version, envelope.tenant) == (1, made.tenant)
    assert envelope.generation_id == made.generation_id
    assert len(envelope.request.contents[0].parts[0].text) == 512
    assert made.tenant == traffic.submission(234).tenant


def test_ids_are_fresh_when_prompts_repeat() -> None:
    made = list(islice(traffic.endless_submissions(2), 5))

    assert len({each.generation_id for each in made}) == 5
    assert len({each.envelope for each in made}) == 2


def test_lost_and_duplicates_are_told_apart_when_they_add_up_to_the_right_number() -> None:
    lives = Lives(submitted=["a", "b"], claimed=["a", "a"], finished=["a"])
    lives.add(Lives(submitted=["c"], claimed=["c"], finished=["c", "c"]))

    assert (lives.lost, lives.duplicates) == (1, 2)


def test_operations_are_told_apart_when_one_script_does_several() -> None:
    operations, scripts = traffic.Operations(), load_scripts()
    write, submit = scripts["write"].sha.encode(), scripts["submit"].sha.encode()

    assert operations.name([b"EVALSHA", write, b"1", b"base", b"append"]) == "append"
    assert operations.name([b"EVALSHA", write, b"1", b"base", b"finish"]) == "finish"
    assert operations.name([b"EVALSHA", submit, b"1", b"base"]) == "enqueue"
    assert operations.name([b"EVALSHA", b"0" * 40, b"1"]) == "unknown"


def test_a_repeated_write_counts_as_written_when_the_log_stands_at_its_end() -> None:
    assert traffic.is_written(WriteResult(Verdict.OK, 3), 3)
    assert traffic.is_written(WriteResult(Verdict.WRONG_OFFSET, 3), 3)
    assert not traffic.is_written(WriteResult(Verdict.WRONG_OFFSET, 2), 3)
    assert not traffic.is_written(WriteResult(Verdict.LEASE_LOST, 3), 3)


def test_a_merged_append_accounts_for_one_token_an_event_when_several_are_pending() -> None:
    events = [traffic.text_event(index, "token") for index in (4, 5)]

    write = traffic.append(Lease("g", 1, "n"), 4, events)

    assert (write.expected_offset, write.event_count, write.token_ids) == (4, 2, (4, 5))
    assert write.response == b"".join(events)


@pytest.mark.parametrize("levels", [["10", "10"], ["20", "10"], ["0", "10"]])
def test_the_run_is_refused_when_levels_do_not_rise(levels: list[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--levels", *levels])
