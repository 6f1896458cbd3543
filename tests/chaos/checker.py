"""Judges one outcome: was everything delivered, once, in order, and was it right?

Shares no code with engine, gateway, queue or SDK: what is right comes from `expected`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from facet.api.v1 import generation_pb2
from tests.chaos.client import DROPPED, WITHOUT_END, Outcome
from tests.chaos.content import events_faults, response_faults
from tests.chaos.delivery import Delivery
from tests.chaos.load import Kind

_FinishReason = generation_pb2.FinishReason


class End(Enum):
    """How a request ended, as its client must see it."""

    FINISHED = "finished"
    CANCELLED = "cancelled_by_client"
    DEADLINE = "deadline_by_design"
    ABORTED = "aborted"
    DEAD_LETTERED = "dead_lettered"
    LOST = "lost"
    FAILED = "failed"


_BY_DESIGN = {
    (Kind.CANCEL, "CANCELLED"): End.CANCELLED,
    (Kind.DEADLINE, "DEADLINE_EXCEEDED"): End.DEADLINE,
}
_ENDS = {
    "OK": End.FINISHED,
    "LOG_REGRESSED": End.ABORTED,
    "UNRESUMABLE": End.ABORTED,
    "DEAD_LETTERED": End.DEAD_LETTERED,
    # Accepted work of which the client never got the end that it asked for.
    "": End.LOST,
    "CANCELLED": End.LOST,
    "DEADLINE_EXCEEDED": End.LOST,
    "GENERATION_NOT_FOUND": End.LOST,
    "LOG_LOST": End.LOST,
    "OFFSET_OUT_OF_RANGE": End.LOST,
    WITHOUT_END: End.LOST,
}


@dataclass(frozen=True)
class StoreLoss:
    """A time whose writes the store lost, in monotonic seconds: a failover planted it."""

    from_at: float
    to_at: float

    def touches(self, outcome: Outcome) -> bool:
        """Whether some reader of the request was there at that time."""
        return any(
            each.began_at <= self.to_at and (each.is_open or each.ended_at >= self.from_at)
            for each in outcome.deliveries()
        )


@dataclass
class Verdict:
    """`wrong` lists what was wrong with the content, `notes` what is told but allowed."""

    end: End
    reason: str
    is_planted: bool
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(outcome: Outcome, losses: Sequence[StoreLoss]) -> Verdict:
    """The verdict on a request. What a planted loss touched may have been done again, not wrong."""
    is_touched = any(loss.touches(outcome) for loss in losses)
    end, reason = _end_of(outcome)
    verdict = Verdict(end, reason, _is_planted(outcome, end, is_touched))
    for delivery in outcome.deliveries():
        verdict.wrong += events_faults(delivery.events, outcome.plan.answers)
        if delivery.other_ids and not is_touched:
            verdict.wrong.append(f"its id names {len(delivery.other_ids) + 1} generations")
        verdict.wrong += [note for note in delivery.transient if note.startswith("after the end")]
    _judge_response(outcome, verdict)
    _judge_repeats(outcome, verdict, is_touched)
    _judge_reread(outcome, verdict, is_touched)
    return verdict


def _end_of(outcome: Outcome) -> tuple[End, str]:
    reason = outcome.main.end
    if reason == DROPPED:
        return _end_of_dropped(outcome)
    if (outcome.plan.kind, reason) in _BY_DESIGN:
        return _BY_DESIGN[outcome.plan.kind, reason], reason
    return _ENDS.get(reason, End.FAILED), reason or "OPEN"


def _end_of_dropped(outcome: Outcome) -> tuple[End, str]:
    """Nobody saw its end; the log tells it."""
    finished = outcome.reread.finished if outcome.reread else None
    if finished is None:
        return End.LOST, outcome.reread.end if outcome.reread else "OPEN"
    if finished.finish_reason == _FinishReason.FINISH_REASON_CANCELLED:
        return End.CANCELLED, "CANCELLED"
    return (End.LOST, "DEADLINE_EXCEEDED") if finished.HasField("failure") else (End.FINISHED, "OK")


def _is_planted(outcome: Outcome, end: End, is_touched: bool) -> bool:
    if end is End.ABORTED:
        return outcome.main.end == "LOG_REGRESSED" and is_touched
    return end is End.DEAD_LETTERED and outcome.plan.kind is Kind.POISON


def _judge_response(outcome: Outcome, verdict: Verdict) -> None:
    response = outcome.main.response
    if response is None:
        return
    if response.generation_id != outcome.main.generation_id:
        verdict.wrong.append("the response is another generation's")
        return
    if len(response.candidates) != len(outcome.plan.answers):
        verdict.wrong.append(f"the response has {len(response.candidates)} candidates")
        return
    verdict.wrong += response_faults(response, outcome.plan.answers)


def _judge_repeats(outcome: Outcome, verdict: Verdict, is_touched: bool) -> None:
    main, twin = outcome.main, outcome.twin
    if twin is not None and main.end == twin.end == "OK" and not is_touched:
        if main.generation_id != twin.generation_id:
            verdict.wrong.append("the repeated id made a second generation")
        elif main.events != twin.events:
            verdict.wrong.append("two readers of one generation were given different events")
    if outcome.conflict not in ("", "REQUEST_ID_REUSED"):
        said = f"another body under the same id was answered {outcome.conflict}"
        (verdict.notes if is_touched else verdict.wrong).append(said)


def _judge_reread(outcome: Outcome, verdict: Verdict, is_touched: bool) -> None:
    """The log that is kept must be what was delivered, and end the same."""
    reread = outcome.reread
    if reread is None:
        return
    verdict.wrong += [f"reread: {f}" for f in events_faults(reread.events, outcome.plan.answers)]
    problem = _reread_problem(outcome.main, reread)
    if problem:
        (verdict.notes if is_touched else verdict.wrong).append(problem)


def _reread_problem(main: Delivery, reread: Delivery) -> str:
    if reread.finished is None:
        return f"reread: no end, {reread.end}"
    kept = reread.events[: len(main.events)]
    if kept != main.events:
        pairs = zip(main.events, reread.events, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), len(reread.events))
        kinds = [e[at].WhichOneof("kind") if at < len(e) else None for e in (main.events, kept)]
        return f"reread: offset {at} was delivered as {kinds[0]} and is kept as {kinds[1]}"
    if main.finished is not None and len(reread.events) != len(main.events):
        return f"reread: {len(reread.events)} events, delivered were {len(main.events)}"
    reason = reread.finished.finish_reason
    if main.end == "DEADLINE_EXCEEDED" and reason != _FinishReason.FINISH_REASON_DEADLINE:
        return f"reread: ended by {reason}, not by its deadline"
    return ""
