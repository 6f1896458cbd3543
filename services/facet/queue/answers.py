"""What both adapters refuse, and with which errors."""

from __future__ import annotations

from collections.abc import Sequence

from facet.core.errors import (
    GenerationNotFoundError,
    InvalidRequestError,
    QueueFullError,
    QuotaExceededError,
    RequestIdReusedError,
    StoreFullError,
    StoreUnavailableError,
)
from facet.queue.limits import FULL_RETRY_SECONDS, MAX_BATCH
from facet.queue.values import Append


def not_found(generation_id: str) -> GenerationNotFoundError:
    """The same for an unknown generation and for another tenant's."""
    return GenerationNotFoundError(f"generation {generation_id} was not found")


def request_id_reused(generation_id: str) -> RequestIdReusedError:
    """`generation_id` is the one that the request id names."""
    return RequestIdReusedError(
        "the request id was used with another body; the request never ran",
        metadata={"generation_id": generation_id},
    )


def queue_full(bound: str, most: int, retry_ms: int) -> QueueFullError:
    """A bound on what all tenants have waiting was reached: so many requests, tokens or bytes."""
    return QueueFullError(
        f"{most} {bound} wait already; the request never ran",
        metadata={"bound": bound, "limit": str(most)},
        retry_after_seconds=retry_ms / 1000,
    )


_QUOTAS = {
    "requests_per_minute": "this tenant may make {} requests a minute",
    "tokens_per_minute": "this tenant may use {} tokens a minute",
    "max_concurrent": "this tenant may have {} generations at once",
    "max_media_bytes": "this tenant may have {} bytes of media in the store",
}


def quota_exceeded(bound: str, most: int, retry_ms: int | None) -> QuotaExceededError:
    """The same for what one tenant has waiting, or a limit of its quota.

    `retry_ms` is None where waiting does not help.
    """
    waiting = "{} " + bound + " of this tenant wait already"
    return QuotaExceededError(
        f"{_QUOTAS.get(bound, waiting).format(most)}; the request never ran",
        metadata={"bound": bound, "limit": str(most)},
        retry_after_seconds=None if retry_ms is None else retry_ms / 1000,
    )


def invalid_page() -> InvalidRequestError:
    """A page token that no answer gave."""
    return InvalidRequestError.of("page_token", "is not one that an earlier answer gave")


def check_page(page: str) -> None:
    """Raise InvalidRequestError for a page that is neither the first, "", nor a place."""
    # Other scripts have digits too, which the store does not know.
    if page and not (page.isascii() and page.isdecimal()):
        raise invalid_page()


def store_full() -> StoreFullError:
    """The store's memory is nearly used up."""
    return StoreFullError(
        "the store is nearly full; the request never ran",
        retry_after_seconds=FULL_RETRY_SECONDS,
    )


def store_unavailable() -> StoreUnavailableError:
    """What clients are told; addresses and causes are for the logs, in `__cause__`."""
    return StoreUnavailableError("the store did not answer in time; try again")


def no_memory() -> StoreUnavailableError:
    """The server refuses for want of memory what must fit: it is as good as away."""
    return StoreUnavailableError("the store has no memory left; nothing was stored")


def not_replicated(generation_id: str, copies: int) -> StoreUnavailableError:
    """The request is accepted, and too few replicas had it in time."""
    return StoreUnavailableError(
        f"the generation is accepted, but only {copies} replicas of the store had it in time: "
        "repeat the call under its request id",
        metadata={"generation_id": generation_id, "replicas": str(copies)},
    )


def check_writes(writes: Sequence[Append]) -> None:
    """Raise ValueError for a batch that no store could take."""
    if sum(write.share for write in writes) > MAX_BATCH:
        raise ValueError(
            f"{len(writes)} writes in one call: at most {MAX_BATCH}, ends of requests count twice"
        )
    for write in writes:
        if write.event_count < 1:
            raise ValueError("a write has at least one event")
