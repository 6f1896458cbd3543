"""What workers report of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.message import DecodeError

from facet.api.queue.v1.log_pb2 import WorkerReport
from facet.autoscaler.signals import Phase, Pod, WorkerLoad


def reports_of(serialized: Iterable[bytes]) -> list[WorkerReport]:
    """The reports; what a worker of another release wrote and cannot be read is left out."""
    reports = []
    for each in serialized:
        try:
            reports.append(WorkerReport.FromString(each))
        except DecodeError:
            continue
    return reports


def loads_of(reports: Iterable[WorkerReport]) -> tuple[WorkerLoad, ...]:
    """What each worker holds and could."""
    return tuple(
        WorkerLoad(
            name=report.name,
            pool=report.pool,
            running=report.running,
            capacity=report.capacity,
            kv_use=report.kv_use if report.HasField("kv_use") else None,
            is_draining=report.draining,
            tokens_per_step=report.tokens_per_step if report.HasField("tokens_per_step") else None,
        )
        for report in reports
    )


def start_seconds_of(report: WorkerReport) -> float:
    """How long its start took, all phases together; 0 where it does not tell."""
    return float(sum(report.start_seconds.values()))


def pods_of(reports: Sequence[WorkerReport], now_seconds: float) -> tuple[Pod, ...]:
    """The workers as pods, where nobody else tells of pods: all are ready, or end."""
    return tuple(
        Pod(
            name=report.name,
            pool=report.pool,
            phase=Phase.TERMINATING if report.draining else Phase.READY,
            age_seconds=ready + start_seconds_of(report),
            phase_seconds=ready,
        )
        for report in reports
        for ready in (max(now_seconds - report.start_time.ToNanoseconds() / 1e9, 0.0),)
    )
