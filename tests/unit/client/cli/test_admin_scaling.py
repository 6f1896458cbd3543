"""The autoscaler's last decision as people see it."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from facet.api.v1 import admin_service_pb2 as pb
from facet.client.cli.admin_scaling import explanation_lines
from facet.client.cli.plain import plain

pytestmark = pytest.mark.unit


def test_pools_reasons_signals_and_tenants_are_shown_when_it_was_decided() -> None:
    told = pb.ExplainAutoscalerResponse(
        model="nano",
        age=Duration(seconds=2, nanos=500_000_000),
        blind=True,
        cost_per_hour=4.5,
        pools=[
            pb.ScaledPool(
                name="spot",
                desired=3,
                phases={"ready": 2, "loading": 1, "pulling": 1},
                startup=Duration(seconds=240),
                service_times=pb.ServiceTimes(
                    samples=96,
                    prefill_token_seconds={"text": 0.0005},
                    step_base_seconds=0.02,
                    step_sequence_seconds=0.0005,
                    tokens_per_step=2.176,
                ),
            )
        ],
        reasons=[
            pb.ScalingReason(cause="backlog", pool="spot", detail="all", numbers={"pods": 2.5}),
            pb.ScalingReason(cause="blind"),
        ],
        signals=[
            pb.ScalingSignal(name="queue", age=Duration(seconds=1), valid=True),
            pb.ScalingSignal(name="pods"),
        ],
        gpu_seconds={"": 5.0, "acme": 70.0},
    )
    told.decide_time.FromSeconds(10)

    lines = explanation_lines(plain(told))

    assert lines[0] == (
        "nano: decided 1970-01-01T00:00:10.000Z, 2.5 s ago, BLIND: sizes are held; "
        "costs 4.5 an hour"
    )
    assert lines[2].split()[:6] == ["spot", "3", "2", "2", "240", "2000"]
    assert lines[2].endswith("20.00+0.500b, 2.18 tokens a step, 96 samples")
    assert lines[3:6] == ["reasons", "  backlog in spot (all): pods 2.5", "  blind"]
    assert lines[6] == "signals"
    assert lines[7].split() == ["queue", "1.0", "s", "old"]
    assert lines[8].split() == ["pods", "never", "read,", "not", "trusted"]
    assert [line.split() for line in lines[10:]] == [["acme", "70.0"], ["(idle)", "5.0"]]


def test_it_is_said_when_nothing_was_decided() -> None:
    told = pb.ExplainAutoscalerResponse(model="nano")
    assert explanation_lines(plain(told)) == [
        "nano: nothing was decided yet; is autoscaler.mode set?"
    ]
