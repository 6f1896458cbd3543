"""What `facet.v1.AdminService` shows: the port's values as messages."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from facet.api.queue.v1.log_pb2 import WorkerReport
from facet.api.v1 import admin_service_pb2
from facet.api.v1.error_pb2 import Failure
from facet.api.v1.event_pb2 import Event
from facet.api.v1.generation_pb2 import (
    MODALITY_AUDIO,
    MODALITY_IMAGE,
    MODALITY_VIDEO,
    FinishReason,
    Modality,
    UsageMetadata,
)
from facet.api.v1.generation_pb2 import Priority as PriorityMessage
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.gateway.generations import generation_of
from facet.queue.values import LogEntry, Needs, Priority
from facet.queue.views import AuditEntry, ClassDepth, DeadLetter, Depth, Inspection, UsageRecord

_MEDIA: dict[str, Modality.ValueType] = {
    "a": MODALITY_AUDIO,
    "i": MODALITY_IMAGE,
    "v": MODALITY_VIDEO,
}
_TOLD = ("started", "resumed", "restarted", "candidate_finished", "finished")


def worker(report: WorkerReport) -> admin_service_pb2.Worker:
    """A worker's last report."""
    return admin_service_pb2.Worker(
        name=report.name,
        model=report.model,
        running=report.running,
        capacity=report.capacity,
        draining=report.draining,
        report_time=report.report_time,
        fingerprint=report.fingerprint,
        speculation=_speculation(report) if report.HasField("speculation") else None,
    )


def queue(model: str, shard: int, depth: Depth) -> admin_service_pb2.Queue:
    """One shard of a model's queue."""
    oldest_ms = max((each.oldest_ms for each in depth.classes.values()), default=0)
    return admin_service_pb2.Queue(
        model=model,
        shard=shard,
        waiting=depth.waiting,
        leased=depth.leased,
        oldest_age=_duration(oldest_ms) if depth.waiting else None,
        dead_letters=depth.dead_letters,
        classes=[_class_depth(priority, depth.classes[priority]) for priority in Priority],
        waiting_bytes=depth.waiting_bytes,
        drain_tokens_per_second=depth.drain_tokens_per_second,
        mean_output_tokens=depth.mean_output_tokens,
    )


def inspection(model: str, seen: Inspection) -> admin_service_pb2.InspectGenerationResponse:
    """One request; its log is added entry by entry, see `add_log_entry`."""
    status = seen.status
    return admin_service_pb2.InspectGenerationResponse(
        generation=generation_of(status),
        tenant=status.tenant,
        attempts=status.attempts,
        deaths=status.deaths,
        worker=status.worker,
        model=model,
        priority=PriorityMessage.ValueType(seen.priority),
        needs=_needs(seen.needs),
        requests_ahead=status.requests_ahead,
        tokens_ahead=status.tokens_ahead,
        estimated_wait=None if status.wait_ms is None else _duration(status.wait_ms),
        remaining=_duration(status.remaining_ms),
        epoch=seen.epoch,
        fingerprint=seen.fingerprint,
        prompt_tokens=seen.prompt_tokens,
        charged_tokens=seen.charged_tokens,
        holds=seen.holds,
        skips=seen.skips,
        read_offset=seen.read_offset,
        # A redriven request has a new log, its readers may still stand in the old one.
        reader_lag=max(status.next_offset - seen.read_offset, 0),
        life=[
            admin_service_pb2.LifeStep(
                time=_timestamp(step.at_ms), what=step.what, detail=step.detail
            )
            for step in seen.life
        ],
    )


def add_log_entry(response: admin_service_pb2.InspectGenerationResponse, entry: LogEntry) -> None:
    """Take over from a log entry what tells of attempts and end; content stays out."""
    for event in StreamGenerateContentResponse.FromString(entry.response).events:
        kind = event.WhichOneof("kind")
        if kind in _TOLD:
            response.log.add(offset=event.offset, what=kind, detail=_log_detail(event))
        if kind == "finished":
            response.timings.CopyFrom(event.finished.timings)
            response.usage.CopyFrom(event.finished.usage)


def dead_letter(model: str, letter: DeadLetter) -> admin_service_pb2.DeadLetter:
    """A request that was given up."""
    return admin_service_pb2.DeadLetter(
        generation_id=letter.generation_id,
        model=model,
        tenant=letter.tenant,
        dead_time=_timestamp(letter.dead_ms),
        failure=Failure.FromString(letter.failure),
        size_bytes=letter.size_bytes,
    )


def audit_entry(model: str, entry: AuditEntry) -> admin_service_pb2.AuditEntry:
    """One action of an operator."""
    return admin_service_pb2.AuditEntry(
        time=_timestamp(entry.at_ms),
        who=entry.who,
        action=entry.action,
        subject=entry.subject,
        model=model,
    )


def usage_record(model: str, record: UsageRecord) -> admin_service_pb2.UsageRecord:
    """What one generation took."""
    usage = UsageMetadata.FromString(record.usage)
    if not record.usage:
        usage.prompt_token_count = record.prompt_tokens
        usage.candidates_token_count = record.output_tokens
        usage.total_token_count = record.prompt_tokens + record.output_tokens
    return admin_service_pb2.UsageRecord(
        generation_id=record.generation_id,
        tenant=record.tenant,
        model=model,
        create_time=_timestamp(record.ended_ms - record.run_ms - record.queue_ms),
        end_time=_timestamp(record.ended_ms),
        outcome=record.outcome,
        queue_time=_duration(record.queue_ms),
        run_time=_duration(record.run_ms),
        attempts=record.attempts,
        usage=usage,
        is_estimate=not record.usage and record.attempts > 0,
    )


def _speculation(report: WorkerReport) -> admin_service_pb2.WorkerSpeculation:
    told = report.speculation
    return admin_service_pb2.WorkerSpeculation(
        healthy=told.healthy,
        acceptance=told.acceptance if told.HasField("acceptance") else None,
        floor=told.floor,
    )


def _class_depth(priority: Priority, depth: ClassDepth) -> admin_service_pb2.ClassDepth:
    return admin_service_pb2.ClassDepth(
        priority=PriorityMessage.ValueType(priority),
        requests=depth.requests,
        tokens=depth.tokens,
        oldest_age=_duration(depth.oldest_ms) if depth.requests else None,
    )


def _needs(needs: Needs) -> admin_service_pb2.GenerationNeeds:
    return admin_service_pb2.GenerationNeeds(
        context_tokens=needs.context_tokens,
        media=[_MEDIA[kind] for kind in needs.media],
        adapter=needs.adapter,
        envelope_version=needs.envelope_version,
    )


def _log_detail(event: Event) -> str:
    if event.HasField("finished"):
        return _reason(event.finished.finish_reason)
    if event.HasField("candidate_finished"):
        reason = _reason(event.candidate_finished.finish_reason)
        return f"candidate {event.candidate_index}: {reason}"
    return event.started.worker or event.resumed.worker or event.restarted.worker


def _reason(reason: FinishReason.ValueType) -> str:
    return FinishReason.Name(reason).removeprefix("FINISH_REASON_").lower()


def _timestamp(milliseconds: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMilliseconds(milliseconds)
    return timestamp


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration
