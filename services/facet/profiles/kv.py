"""Bytes of KV cache by layer kind, counted as vLLM counts them.

vLLM 0.32.0, `vllm/v1/kv_cache_interface.py`: K and V are stored apart even where they are equal; a
full layer holds whole blocks of the context; a sliding layer holds whole blocks of the window less
one token plus all tokens in flight, and one block more because the window may begin inside one.
Layers of smaller pages get larger blocks until all pages are equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facet.profiles.profile import KvDtype
from facet.profiles.shape import FULL, SLIDING, ModelShape, model_shape

_ELEMENT_BYTES = {KvDtype.BF16: 2, KvDtype.FP8: 1}


@dataclass(frozen=True)
class KvBytes:
    """Bytes by layer kind."""

    sliding: int
    full: int

    @property
    def total(self) -> int:
        """Of all layers."""
        return self.sliding + self.full


@dataclass(frozen=True)
class KvLayout:
    """The cache of one model under one engine.

    `block_tokens` is vLLM's block size: 16 on CUDA, 128 on a CPU. `concurrent_batches` is how many
    steps may be in flight: 2 on CUDA and 1 on a CPU. `VllmConfig.max_in_flight_tokens` and
    `max_concurrent_batches` (`vllm/config/vllm.py`) count so; `VllmConfig.__post_init__` there
    schedules asynchronously unless something forbids it, and `mtp`, one of `EagleModelTypes`
    (`vllm/config/speculative.py`), does not; `vllm/platforms/cpu.py` turns it off.
    """

    shape: ModelShape
    dtype: KvDtype
    block_tokens: int
    concurrent_batches: int

    def admission(self, context_tokens: int, batched_tokens: int) -> KvBytes:
        """What vLLM asks to be free for one sequence of this length at start and at admission."""
        in_flight = self.concurrent_batches * batched_tokens
        return self._held(context_tokens, in_flight)

    def steady(self, context_tokens: int) -> KvBytes:
        """What one sequence of this length holds while it decodes."""
        return self._held(context_tokens, 1)

    @property
    def null_block_bytes(self) -> int:
        """The block that vLLM's pool holds back: one page of each layer of a group."""
        counts = Counter(layer.kind for layer in self.shape.layers if not layer.shares_kv)
        per_token = kv_bytes_of(self.shape, self.dtype)
        pages = [
            block * per_kind // counts[kind]
            for kind, block, per_kind in zip(
                (SLIDING, FULL), self._blocks(), (per_token.sliding, per_token.full), strict=True
            )
            if counts[kind]
        ]
        least, most = min(counts.values()), max(counts.values())
        return max(pages) * (most if most < 1.5 * least else least)

    def _held(self, context_tokens: int, in_flight: int) -> KvBytes:
        per_token = kv_bytes_of(self.shape, self.dtype)
        sliding_block, full_block = self._blocks()
        windowed = min(self.shape.window - 1 + in_flight, context_tokens)
        sliding_tokens = (_ceil(windowed, sliding_block) + 1) * sliding_block
        full_tokens = _ceil(context_tokens, full_block) * full_block
        return KvBytes(
            sliding=sliding_tokens * per_token.sliding, full=full_tokens * per_token.full
        )

    def _blocks(self) -> tuple[int, int]:
        pages = {
            layer.kind: 2 * layer.kv_heads * layer.head_dim
            for layer in self.shape.layers
            if not layer.shares_kv
        }
        largest = max(pages.values(), default=1)
        sliding, full = (largest // pages.get(kind, largest) for kind in (SLIDING, FULL))
        return self.block_tokens * sliding, self.block_tokens * full


def kv_bytes_per_token(config: Mapping[str, Any], dtype: KvDtype = KvDtype.BF16) -> KvBytes:
    """Bytes that one token takes in all layers of each kind, from an HF configuration.

    Sliding layers hold a token only while it is inside the window. Errors: ConfigError.
    """
    return kv_bytes_of(model_shape(config), dtype)


def kv_bytes_of(shape: ModelShape, dtype: KvDtype) -> KvBytes:
    """As `kv_bytes_per_token`, from a shape."""
    totals = {SLIDING: 0, FULL: 0}
    for layer in shape.layers:
        if not layer.shares_kv:
            totals[layer.kind] += 2 * layer.kv_heads * layer.head_dim * _ELEMENT_BYTES[dtype]
    return KvBytes(sliding=totals[SLIDING], full=totals[FULL])


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)
