"""Restores what vLLM knows of a resumed request beside its ids: output counts and the grammar.

A resumed request carries its emitted ids at the end of the prompt. vLLM's penalties and limits
count output ids alone, and its grammars begin at the first output id. A request that vLLM itself
preempted goes on with the output ids that it has, so a resumed one is brought into that state: the
scheduler turns its emitted ids into output and advances the grammar over them, and the model runner
takes them as output too.
"""

from __future__ import annotations

import inspect
from typing import Any

import structlog
import vllm
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager
from vllm.v1.worker.gpu_input_batch import CachedRequestState

EMITTED = "facet_emitted"
"""In `SamplingParams.extra_args`: how many ids at the end of the prompt are output."""

_VERSION = "0.32.0"

_PARAMETERS = {
    (Scheduler, "add_request"): ("self", "request"),
    (Scheduler, "schedule"): ("self", "throttle_prefills"),
    (Scheduler, "_handle_blocked_waiting_request"): ("self", "request"),
    (StructuredOutputManager, "accept_tokens"): ("self", "request", "new_token_ids"),
    (CachedRequestState, "__post_init__"): ("self",),
}

_ATTRIBUTES = {
    "prompt_token_ids",
    "num_prompt_tokens",
    "_output_token_ids",
    "_all_token_ids",
    "prefill_stats",
    "structured_output_request",
}

_log = structlog.get_logger(__name__)


def prepare(config: Any) -> bool:
    """Have the engine of this VllmConfig made so that `enable` can be called on it.

    False, and the config as it was, where the installed vLLM is not the one that is known here.
    """
    reason = mismatch()
    if reason is not None:
        _log.warning("engine_state_not_restorable", reason=reason)
        return False
    kind = ResumingScheduler
    if config.scheduler_config.async_scheduling:
        kind = ResumingAsyncScheduler
    config.scheduler_config.scheduler_cls = f"{__name__}.{kind.__name__}"
    config.parallel_config.worker_extension_cls = f"{__name__}.{ResumeExtension.__name__}"
    return True


async def enable(llm: Any) -> None:
    """Patch the model runners of a prepared AsyncLLM; requests with `EMITTED` may come then."""
    await llm.collective_rpc("facet_take_emitted_as_output")


def mismatch() -> str | None:
    """What differs from the vLLM that this module was written for."""
    if vllm.__version__ != _VERSION:
        return f"vLLM is {vllm.__version__}, not {_VERSION}"
    for (owner, name), expected in _PARAMETERS.items():
        function = getattr(owner, name, None)
        if function is None or tuple(inspect.signature(function).parameters) != expected:
            return f"{owner.__name__}.{name} of vLLM is not there or takes other parameters"
    missing = _ATTRIBUTES - set(Request.__init__.__code__.co_names)
    return f"Request of vLLM lacks {sorted(missing)}" if missing else None


class _Resuming:
    """Mixin of vLLM's schedulers."""

    def add_request(self, request: Any) -> None:
        count = _emitted_count(request.sampling_params)
        if count:
            ids = request.prompt_token_ids
            request.prompt_token_ids = ids[:-count]
            request.num_prompt_tokens -= count
            request._output_token_ids.extend(ids[-count:])
            # They refuse a prefix found in the cache that is longer than the prompt.
            request.prefill_stats = None
        super().add_request(request)  # type: ignore[misc]

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        output = super().schedule(*args, **kwargs)  # type: ignore[misc]
        for data in output.scheduled_new_reqs:
            # Runner V2 gets all ids of every request this way, V1 only those of the prompt.
            if data.prefill_token_ids is None and _emitted_count(data.sampling_params):
                data.prompt_token_ids = list(self.requests[data.req_id].all_token_ids)  # type: ignore[attr-defined]
        return output

    def _handle_blocked_waiting_request(self, request: Any) -> bool:
        waiting_for = request.status
        is_ready: bool = super()._handle_blocked_waiting_request(request)  # type: ignore[misc]
        if not is_ready or waiting_for != RequestStatus.WAITING_FOR_STRUCTURED_OUTPUT_GRAMMAR:
            return is_ready
        manager = self.structured_output_manager  # type: ignore[attr-defined]
        if manager.accept_tokens(request, list(request.output_token_ids)):
            return True
        # Ends this request alone, as if its grammar had not compiled.
        request.structured_output_request.grammar = ValueError("the emitted ids do not match")
        request.status = waiting_for
        return bool(super()._handle_blocked_waiting_request(request))  # type: ignore[misc]


class ResumingScheduler(_Resuming, Scheduler):  # type: ignore[misc]
    """vLLM's scheduler, for requests with `EMITTED` too."""


class ResumingAsyncScheduler(_Resuming, AsyncScheduler):  # type: ignore[misc]
    """vLLM's scheduler for async scheduling, for requests with `EMITTED` too."""


class ResumeExtension:
    """Mixed into vLLM's worker class, for `collective_rpc`."""

    def facet_take_emitted_as_output(self) -> None:
        """Patch model runner V1 in this process; V2 counts as output what follows the prompt."""
        initialize = CachedRequestState.__post_init__

        def initialize_with_output(state: Any) -> None:
            count = _emitted_count(state.sampling_params)
            if count and not state.output_token_ids:
                state.output_token_ids = state.prompt_token_ids[-count:]
                state.prompt_token_ids = state.prompt_token_ids[:-count]
            initialize(state)

        CachedRequestState.__post_init__ = initialize_with_output


def _emitted_count(params: Any) -> int:
    return int(params.extra_args.get(EMITTED, 0)) if params and params.extra_args else 0
