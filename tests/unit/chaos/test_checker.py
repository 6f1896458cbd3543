"""The checker finds what it is there to find."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable

import pytest
from google.protobuf import json_format

from facet.api.v1 import event_pb2, generation_pb2, inference_service_pb2
from tests.chaos.checker import End, StoreLoss, judge
from tests.chaos.client import Outcome
from tests.chaos.content import events_faults, response_faults
from tests.chaos.delivery import Delivery
from tests.chaos.expected import Answer
from tests.chaos.load import Kind, Load, Plan

pytestmark = pytest.mark.unit


def a_plan(*, with_call: bool = False) -> Plan:
    plans = Load(random.Random(4), requests=200, poisons=0).plans()
    return next(
        plan
        for plan in plans
        if plan.kind is Kind.STREAM
        and len(plan.answers) == 1
        and bool(plan.answers[0].call) == with_call
    )


def whole_log(plan: Plan) -> list[event_pb2.Event]:
    """The log as a worker that sends one event for every 5 ids writes it."""
    answer = plan.answers[0]
    events = [event_pb2.Event(started=event_pb2.Started(worker="w", prompt_token_count=0))]
    events[0].started.prompt_token_count = answer.prompt_tokens
    text = thoughts = at = 0
    while at < answer.output_tokens:
        end = min(answer.output_tokens, at + 5)
        if answer.call and at < answer.call_at:
            end = min(end, answer.call_at)
        thought_end = answer.thought_lengths[end]
        if thought_end > thoughts:
            # Thoughts and answer never share an event.
            while answer.released[end] > text:
                end -= 1
            thought_end = answer.thought_lengths[end]
            event = event_pb2.Event()
            event.thought_delta.text = answer.thoughts[thoughts:thought_end]
            event.thought_delta.text_start = thoughts
            thoughts = thought_end
        elif answer.call and end == answer.call_at:
            event = event_pb2.Event()
            event.function_call.id, event.function_call.name, arguments = answer.call
            json_format.Parse(arguments, event.function_call.args)
        else:
            event = event_pb2.Event()
            event.text_delta.text = answer.text[text : answer.released[end]]
            event.text_delta.text_start = text
            text = answer.released[end]
        event.token_start, event.token_end = at, end
        events.append(event)
        at = end
    events.append(_terminal(plan))
    for offset, event in enumerate(events):
        event.offset = offset
    return events


def _terminal(plan: Plan) -> event_pb2.Event:
    answer = plan.answers[0]
    event = event_pb2.Event(token_start=answer.output_tokens, token_end=answer.output_tokens)
    event.finished.finish_reason = answer.finish_reason
    event.finished.stop_sequence = answer.stop_sequence
    event.finished.usage.prompt_token_count = answer.prompt_tokens
    event.finished.usage.thoughts_token_count = answer.thought_tokens
    event.finished.usage.candidates_token_count = answer.output_tokens - answer.thought_tokens
    event.finished.usage.total_token_count = answer.prompt_tokens + answer.output_tokens
    return event


def several(count: int = 2) -> tuple[Plan, list[event_pb2.Event]]:
    """A plan with candidates and its log: their events take turns."""
    load = Load(random.Random(4), requests=400, poisons=0)
    plan = next(
        plan
        for plan in load.plans()
        if plan.kind is Kind.STREAM
        and len(plan.answers) == count
        and not any(a.call for a in plan.answers)
    )
    logs = [whole_log(replace_answers(plan, answer)) for answer in plan.answers]
    events = [logs[0][0]]
    for index, log in enumerate(logs):
        for event in log:
            event.candidate_index = index
    for turn in itertools.zip_longest(*(log[1:-1] for log in logs)):
        events += [event for event in turn if event is not None]
    for index, answer in enumerate(plan.answers):
        end = event_pb2.Event(candidate_index=index)
        end.token_start = end.token_end = answer.output_tokens
        end.candidate_finished.finish_reason = answer.finish_reason
        end.candidate_finished.stop_sequence = answer.stop_sequence
        events.append(end)
    terminal = logs[0][-1]
    tokens = sum(answer.output_tokens for answer in plan.answers)
    thoughts = sum(answer.thought_tokens for answer in plan.answers)
    terminal.token_start = terminal.token_end = tokens
    usage = terminal.finished.usage
    usage.thoughts_token_count, usage.candidates_token_count = thoughts, tokens - thoughts
    usage.total_token_count = usage.prompt_token_count + tokens
    events.append(terminal)
    for offset, event in enumerate(events):
        event.offset = offset
    return plan, events


def replace_answers(plan: Plan, answer: Answer) -> Plan:
    """The plan as if this were its only answer."""
    alone = Plan(plan.number, plan.kind, plan.request, plan.timeout_seconds)
    vars(alone)["answers"] = (answer,)
    return alone


def outcome_of(plan: Plan, events: list[event_pb2.Event], kept: list[event_pb2.Event]) -> Outcome:
    outcome = Outcome(plan, Delivery("g"), reread=Delivery("g"))
    assert outcome.reread is not None
    for delivery, given in ((outcome.main, events), (outcome.reread, kept)):
        delivery.take(given)
        delivery.close("OK")
    return outcome


@pytest.mark.parametrize("with_call", [False, True])
def test_nothing_is_found_when_all_is_right(with_call: bool) -> None:
    plan = a_plan(with_call=with_call)
    verdict = judge(outcome_of(plan, whole_log(plan), whole_log(plan)), [])

    assert verdict.end is End.FINISHED
    assert verdict.wrong == []


def _cut_character(events: list[event_pb2.Event]) -> None:
    events[4].text_delta.text = events[4].text_delta.text[:-1]


def _other_word(events: list[event_pb2.Event]) -> None:
    events[4].text_delta.text = "x" * len(events[4].text_delta.text)


def _token_gap(events: list[event_pb2.Event]) -> None:
    events[4].token_start += 1


def _repeated_piece(events: list[event_pb2.Event]) -> None:
    events[4].text_delta.text += events[4].text_delta.text


def _wrong_usage(events: list[event_pb2.Event]) -> None:
    events[-1].finished.usage.candidates_token_count += 1


def _wrong_reason(events: list[event_pb2.Event]) -> None:
    events[-1].finished.finish_reason = generation_pb2.FINISH_REASON_CANCELLED


def _restarted(events: list[event_pb2.Event]) -> None:
    events[3].restarted.attempt = 2


@pytest.mark.parametrize(
    "harm",
    [
        _cut_character,
        _other_word,
        _token_gap,
        _repeated_piece,
        _wrong_usage,
        _wrong_reason,
        _restarted,
    ],
)
def test_content_is_wrong_when_an_event_is_harmed(
    harm: Callable[[list[event_pb2.Event]], None],
) -> None:
    plan = a_plan()
    events = whole_log(plan)
    harm(events)

    assert events_faults(events, plan.answers)


def test_order_is_told_when_offsets_are_left_out_or_repeated() -> None:
    plan = a_plan()
    events = whole_log(plan)
    delivery = Delivery()

    delivery.take([events[0], events[1], events[1], events[3], *events[4:], events[-1]])

    assert (delivery.duplicate_offsets, delivery.gaps, delivery.extra_terminals) == (1, 1, 1)


def test_kept_log_is_wrong_when_it_is_not_what_was_delivered() -> None:
    plan = a_plan()
    kept = whole_log(plan)
    kept[0].started.worker = "another"
    outcome = outcome_of(plan, whole_log(plan), kept)

    assert "offset 0" in judge(outcome, []).wrong[0]
    now = time.monotonic()
    planted = judge(outcome, [StoreLoss(now - 60, now)])
    assert (planted.wrong, len(planted.notes)) == ([], 1)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("LOG_LOST", End.LOST),
        ("CANCELLED", End.LOST),
        ("", End.LOST),
        ("LOG_REGRESSED", End.ABORTED),
        ("DEAD_LETTERED", End.DEAD_LETTERED),
        ("INTERNAL", End.FAILED),
    ],
)
def test_end_is_unplanted_when_nothing_asked_for_it(end: str, expected: End) -> None:
    outcome = Outcome(a_plan())
    outcome.main.close(end)

    verdict = judge(outcome, [])

    assert (verdict.end, verdict.is_planted) == (expected, False)


def test_nothing_is_found_when_all_candidates_are_right() -> None:
    for count in (2, 3):
        plan, events = several(count)
        assert judge(outcome_of(plan, events, events), []).wrong == []


def _swapped(events: list[event_pb2.Event]) -> None:
    for event in events[1:-1]:
        event.candidate_index = 1 - event.candidate_index


def _one_has_no_end(events: list[event_pb2.Event]) -> None:
    del events[-2]


def _one_ends_twice(events: list[event_pb2.Event]) -> None:
    events.insert(-1, events[-2])


def _one_ends_early(events: list[event_pb2.Event]) -> None:
    events.insert(1, events.pop(-2))


def _prompt_counted_twice(events: list[event_pb2.Event]) -> None:
    usage = events[-1].finished.usage
    usage.prompt_token_count *= 2


def _unknown_candidate(events: list[event_pb2.Event]) -> None:
    events[-2].candidate_index = 2


def _terminal_of_one(events: list[event_pb2.Event]) -> None:
    events[-1].token_start = events[-1].token_end = events[-3].token_end


@pytest.mark.parametrize(
    "harm",
    [
        _swapped,
        _one_has_no_end,
        _one_ends_twice,
        _one_ends_early,
        _prompt_counted_twice,
        _unknown_candidate,
        _terminal_of_one,
    ],
)
def test_content_is_wrong_when_a_candidate_is_harmed(
    harm: Callable[[list[event_pb2.Event]], None],
) -> None:
    plan, events = several()
    harm(events)

    assert events_faults(events, plan.answers)


def test_a_response_is_wrong_when_a_candidate_is_missing_or_moved() -> None:
    plan, _ = several()
    response = inference_service_pb2.GenerateContentResponse(generation_id="g")
    for index, answer in enumerate(plan.answers):
        candidate = response.candidates.add(index=index, finish_reason=answer.finish_reason)
        if answer.thoughts:
            candidate.content.parts.add(text=answer.thoughts, thought=True)
        candidate.content.parts.add(text=answer.text)
    output_tokens = sum(answer.output_tokens for answer in plan.answers)
    usage = response.usage_metadata
    usage.prompt_token_count = plan.answers[0].prompt_tokens
    usage.thoughts_token_count = sum(answer.thought_tokens for answer in plan.answers)
    usage.candidates_token_count = output_tokens - usage.thoughts_token_count
    usage.total_token_count = usage.prompt_token_count + output_tokens

    assert response_faults(response, plan.answers) == []
    response.candidates.reverse()
    assert response_faults(response, plan.answers)
    del response.candidates[1:]
    outcome = Outcome(plan, Delivery("g"))
    outcome.main.response = response
    assert judge(outcome, []).wrong == ["the response has 1 candidates"]
