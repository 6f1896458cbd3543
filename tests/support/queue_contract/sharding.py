"""The contract of a queue of several shards: what does not hold over all of them is left out.

Each shard keeps the whole contract by itself: it is a queue.
"""

from __future__ import annotations

from tests.support.queue_contract import (
    candidates,
    claiming,
    ending,
    operating,
    rewinding,
    submitting,
    sweeping,
)


class SubmitContract(submitting.SubmitContract):
    # Bounds and positions are those of a shard.
    test_request_is_refused_when_the_queue_is_full = None  # type: ignore[assignment]
    test_requests_ahead_are_counted_when_waiting = None  # type: ignore[assignment]


class ClaimContract(claiming.ClaimContract):
    # Order is that of a shard.
    test_oldest_come_first_when_some_are_pinned = None  # type: ignore[assignment]


class HandBackContract(claiming.HandBackContract):
    # Order is that of a shard.
    test_request_keeps_its_place_when_handed_back = None  # type: ignore[assignment]


class CandidateContract(candidates.CandidateContract):
    # The mean is learned in a shard.
    test_the_mean_is_that_of_a_candidate_when_several_ended = None  # type: ignore[assignment]


class RewoundContract(rewinding.RewoundContract):
    # Tenants are charged in a shard.
    test_request_is_charged_once_when_its_lease_was_taken_back = None  # type: ignore[assignment]


class DeadlineContract(ending.DeadlineContract):
    # A sweep ends so many in each shard.
    test_every_request_expires_when_there_are_many = None  # type: ignore[assignment]


class ReapContract(sweeping.ReapContract):
    # Order is that of a shard.
    test_request_waits_in_its_place_when_its_worker_died = None  # type: ignore[assignment]


class DeadLetterContract(operating.DeadLetterContract):
    # The cap is that of a shard.
    test_oldest_go_when_there_are_too_many = None  # type: ignore[assignment]


class InspectContract(operating.InspectContract):
    # Which one finds no room depends on whose turn it is.
    test_claims_that_left_it_are_counted_when_it_was_held_or_found_no_room = None  # type: ignore[assignment]
