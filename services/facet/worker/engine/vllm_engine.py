"""The engine port on vLLM's AsyncLLM, in process, with MTP speculative decoding.

Importing this module imports vLLM: call `vllm_process.prepare_environment` first.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
import vllm
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.encoder_budget import get_mm_max_toks_per_item
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.usage.usage_lib import UsageContext
from vllm.utils.network_utils import close_sockets
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError as VllmEngineDeadError
from vllm.v1.engine.exceptions import EngineGenerateError

from facet.api.v1 import content_pb2, generation_pb2
from facet.core.errors import EngineFailedError, InvalidRequestError
from facet.core.models import ModelCard
from facet.profiles.plan import Plan
from facet.worker.engine import vllm_resume, vllm_start
from facet.worker.engine.conversation import tool_declarations
from facet.worker.engine.decoding import PipelineDecoder
from facet.worker.engine.encoder_room import check_encoder_room
from facet.worker.engine.fingerprint import fingerprint
from facet.worker.engine.gemma_decoding import GemmaParser, StreamDetokenizer
from facet.worker.engine.measures import EngineMeasures
from facet.worker.engine.media_decode import MediaDecoder
from facet.worker.engine.media_video import MAX_FRAMES
from facet.worker.engine.port import (
    Decoder,
    EngineDeadError,
    EngineFinish,
    Medium,
    Prompt,
    StartTimes,
    Step,
)
from facet.worker.engine.rehearsal import rehearsing
from facet.worker.engine.rendering import Renderer
from facet.worker.engine.sampling import sampling_params
from facet.worker.engine.speculation import SpeculationCounter
from facet.worker.engine.vllm_stats import stats_logger
from facet.worker.engine.vllm_steps import step_of

DECODING_VERSION = "1"
"""Part of the fingerprint: raise it when the same ids decode to other pieces."""

_UNKNOWN_BLOCKS = 1 << 20
"""Of KV cache, when the engine does not tell: then its own admission bounds it."""

_SHUTDOWN_SECONDS = 0.5
"""Nothing runs any more: vLLM's processes are ended, not waited for."""


@dataclass(frozen=True)
class VllmOptions:
    """How the engine is started.

    The directories hold the checkpoints of `plan`; the target's safetensors are at the gs://
    location `streamed_weights`, where there is one.
    """

    target_dir: Path
    drafter_dir: Path
    plan: Plan
    streamed_weights: str = ""


@dataclass(frozen=True)
class _Loaded:
    """The running engine and what was read from its checkpoint."""

    llm: Any
    renderer: Renderer
    defaults: dict[str, Any]
    end_ids: frozenset[int]
    fingerprint: str
    restores_state: bool


class VllmEngine:
    """Implements `Engine`."""

    def __init__(
        self, options: VllmOptions, card: ModelCard, measures: EngineMeasures | None = None
    ) -> None:
        self._options = options
        self._measures = measures or EngineMeasures()
        self._card = card
        self._media = MediaDecoder()
        self._loaded: _Loaded | None = None
        self._running = 0

    @property
    def fingerprint(self) -> str:
        """See `Engine.fingerprint`; not before `start`."""
        return self._live.fingerprint

    @property
    def capacity(self) -> int:
        """See `Engine.capacity`."""
        return self._options.plan.max_num_seqs

    @property
    def context_tokens(self) -> int:
        """See `Engine.context_tokens`."""
        return self._card.context_tokens

    @property
    def kv_tokens(self) -> int:
        """See `Engine.kv_tokens`."""
        cache = self._live.llm.vllm_config.cache_config
        return int(cache.num_gpu_blocks or _UNKNOWN_BLOCKS) * int(cache.block_size)

    async def start(self) -> StartTimes:
        """See `Engine.start`. Takes about 40 s on two cores even for a tiny model."""
        # In a thread: health checks and signals are answered meanwhile.
        self._loaded = await asyncio.to_thread(self._load)
        if self._loaded.restores_state:
            await vllm_resume.enable(self._loaded.llm)
        return await vllm_start.start_times(self._loaded.llm)

    async def stop(self) -> None:
        """See `Engine.stop`."""
        self._media.close()
        # The reference goes with it: vLLM's finalizer fails when it runs at interpreter exit.
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            await asyncio.to_thread(loaded.llm.shutdown, _SHUTDOWN_SECONDS)
            _close_sockets(loaded.llm.engine_core.resources)

    async def check(self) -> None:
        """See `Engine.check`."""
        if self._live.llm.errored:
            raise EngineDeadError("vLLM's engine process is gone")

    async def probe(self) -> None:
        """See `Engine.probe`."""
        llm = self._live.llm
        prompt = {"prompt_token_ids": [min(self._live.end_ids)]}
        (engine_input,) = await llm.renderer.render_cmpl_async([prompt])
        params = SamplingParams(max_tokens=1, detokenize=False, output_kind=RequestOutputKind.DELTA)
        name = f"probe-{secrets.token_hex(8)}"
        async with aclosing(self._steps(engine_input, params, name)) as steps:
            await anext(steps)

    async def rehearse(self, count: Callable[[int, int], None]) -> None:
        """See `Engine.rehearse`."""

        async def answer(name: str, request: generation_pb2.GenerationRequest) -> None:
            prompt = await self.render(request, (), "")
            async with aclosing(self.generate(name, request, prompt, ())) as steps:
                async for step in steps:
                    count(step.drafted_tokens, step.accepted_tokens)

        await rehearsing(answer)

    async def render(
        self, request: generation_pb2.GenerationRequest, media: Sequence[Medium], tenant: str
    ) -> Prompt:
        """See `Engine.render`."""
        return await self._live.renderer.render(request, media, tenant)

    def can_resume(self, request: generation_pb2.GenerationRequest) -> bool:
        """See `Engine.can_resume`."""
        config = request.generation_config
        depends_on_output = (
            config.presence_penalty
            or config.frequency_penalty
            or config.WhichOneof("response_format")
        )
        return self._live.restores_state or not depends_on_output

    def decoder(self, request: generation_pb2.GenerationRequest, prompt: Prompt) -> Decoder:
        """See `Engine.decoder`."""
        tokenizer = self._live.llm.renderer.get_tokenizer()
        prompt_ids = prompt.engine_input["prompt_token_ids"]
        config = request.generation_config
        parser = GemmaParser(
            tokenizer,
            tools=tool_declarations(request),
            is_thinking=config.thinking.enabled,
            allows_calls=request.tool_config.mode != content_pb2.FUNCTION_CALLING_MODE_NONE,
            prompt_ids=prompt_ids,
        )
        return PipelineDecoder(
            StreamDetokenizer(tokenizer._tokenizer, prompt_ids),
            parser,
            stop_sequences=config.stop_sequences,
            end_ids=self._live.end_ids,
            min_tokens=config.min_output_tokens,
        )

    async def generate(
        self,
        generation_id: str,
        request: generation_pb2.GenerationRequest,
        prompt: Prompt,
        emitted: Sequence[int],
        candidate: int = 0,
    ) -> AsyncGenerator[Step, None]:
        """See `Engine.generate`."""
        max_tokens = self._live.renderer.output_limit(request, prompt.token_count)
        if emitted and emitted[-1] in self._live.end_ids:
            yield Step((), EngineFinish.STOP)
            return
        if len(emitted) >= max_tokens:
            yield Step((), EngineFinish.LENGTH)
            return
        params = sampling_params(
            request.generation_config,
            defaults=self._live.defaults,
            max_tokens=max_tokens,
            emitted=len(emitted),
            candidate=candidate,
            restores_state=self._live.restores_state,
        )
        engine_input = dict(prompt.engine_input)
        engine_input["prompt_token_ids"] = [*engine_input["prompt_token_ids"], *emitted]
        self._running += 1
        try:
            name = f"{generation_id}.{candidate}" if candidate else generation_id
            # Left to the collector, it would go on in the engine while its seat is given away.
            async with aclosing(self._steps(engine_input, params, name)) as steps:
                async for step in steps:
                    yield step
        finally:
            self._running -= 1

    def running(self) -> int:
        """See `Engine.running`."""
        return self._running

    @property
    def _live(self) -> _Loaded:
        if self._loaded is None:
            raise RuntimeError("the engine is not started")
        return self._loaded

    def _load(self) -> _Loaded:
        config = self._engine_args().create_engine_config(UsageContext.ENGINE_CONTEXT)
        # Before the weights are read, which takes minutes for a real model.
        check_encoder_room(
            _tokens_per_item(config.model_config), self._options.plan.max_num_batched_tokens
        )
        restores_state = vllm_resume.prepare(config)
        vllm_start.prepare(config)
        llm = AsyncLLM.from_vllm_config(config, stat_loggers=[stats_logger(self._measures)])
        end = llm.model_config.try_get_generation_config().get("eos_token_id")
        versions = (vllm.__version__, torch.__version__, transformers.__version__, DECODING_VERSION)
        return _Loaded(
            llm=llm,
            renderer=Renderer(llm, self._card, self._media),
            defaults=llm.model_config.get_diff_sampling_param(),
            end_ids=frozenset([end] if isinstance(end, int) else end),
            fingerprint=fingerprint(self._options.target_dir, versions),
            restores_state=restores_state,
        )

    async def _steps(
        self, engine_input: dict[str, Any], params: Any, generation_id: str
    ) -> AsyncGenerator[Step, None]:
        counter = SpeculationCounter(self._options.plan.speculative_tokens)
        tokenizer = self._live.llm.renderer.get_tokenizer()._tokenizer
        outputs = self._live.llm.generate(engine_input, params, generation_id)
        try:
            async for output in outputs:
                yield step_of(output, counter, tokenizer, params.logprobs)
        except VllmEngineDeadError as error:
            raise EngineDeadError("vLLM's engine process is gone") from error
        except (VLLMClientError, ValueError) as error:
            raise InvalidRequestError.of("request", f"refused by the engine: {error}") from error
        except EngineGenerateError as error:
            raise EngineFailedError("the engine failed on this request") from error
        finally:
            # vLLM aborts the request when its generator is closed.
            await outputs.aclose()

    def _engine_args(self) -> AsyncEngineArgs:
        options = self._options
        arguments = options.plan.engine_arguments()
        arguments["model"] = str(options.target_dir)
        arguments["model_weights"] = options.streamed_weights
        if "speculative_config" in arguments:
            arguments["speculative_config"]["model"] = str(options.drafter_dir)
        arguments["limit_mm_per_prompt"] = {
            "image": self._card.max_images,
            "audio": self._card.max_audios,
            "video": {"count": self._card.max_videos, "num_frames": MAX_FRAMES},
        }
        return AsyncEngineArgs(
            **arguments,
            served_model_name=self._card.name,
            per_request_spec_decode_metrics="summary",
            # Its front-end half believes that every rendered medium reached the engine; a request
            # cancelled between the two would break the next one with the same medium.
            mm_processor_cache_gb=0,
        )


def _close_sockets(resources: Any) -> None:
    """What vLLM's shutdown leaves to the collector: the context of its client's sockets."""
    # An open one would block the end of the context.
    close_sockets((resources.input_socket, resources.output_socket))
    resources.ctx.term()


def _tokens_per_item(model_config: Any) -> Mapping[str, int]:
    """The most that vLLM counts for one item of each kind, under the limits of the engine."""
    processor = MULTIMODAL_REGISTRY.create_processor(model_config)
    kinds = [kind for kind, limit in processor.info.allowed_mm_limits.items() if limit]
    most: Mapping[str, int] = get_mm_max_toks_per_item(processor, dict.fromkeys(kinds, 1), None)
    return {kind: most[kind] for kind in kinds if kind in most}
