"""Messages as plain values."""

import pytest

from facet.api.v1 import admin_service_pb2 as pb
from facet.api.v1 import error_pb2, generation_pb2
from facet.client.cli.plain import plain

pytestmark = pytest.mark.unit


def test_values_are_plain_when_a_message_has_everything() -> None:
    message = pb.InspectGenerationResponse(
        tenant="alice",
        priority=generation_pb2.PRIORITY_BATCH,
        tokens_ahead=2**40,
        needs=pb.GenerationNeeds(media=[generation_pb2.MODALITY_IMAGE]),
        life=[pb.LifeStep(what="claimed", detail="w")],
    )
    message.estimated_wait.FromMilliseconds(1500)
    message.life[0].time.FromMilliseconds(1_700_000_000_123)
    message.generation.failure.reason = error_pb2.ERROR_REASON_DEAD_LETTERED
    message.generation.failure.metadata["deaths"] = "2"

    values = plain(message)

    assert values["tenant"] == "alice"
    assert values["priority"] == "batch"
    assert values["tokens_ahead"] == 2**40
    assert values["needs"]["media"] == ["image"]
    assert values["estimated_wait_seconds"] == 1.5
    assert values["life"] == [
        {"time": "2023-11-14T22:13:20.123Z", "what": "claimed", "detail": "w"}
    ]
    assert values["generation"]["failure"]["reason"] == "DEAD_LETTERED"
    assert values["generation"]["failure"]["metadata"] == {"deaths": "2"}


def test_nothing_is_made_up_when_messages_are_absent() -> None:
    values = plain(pb.InspectGenerationResponse())

    assert values["generation"] is None
    assert values["estimated_wait_seconds"] is None
    assert values["life"] == []
    assert values["epoch"] == 0


def test_the_number_stands_when_a_later_version_sends_the_choice() -> None:
    assert plain(pb.ClassDepth.FromString(b"\x08\x63"))["priority"] == "99"
