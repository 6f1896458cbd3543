"""The Gemma 4 decoder layer written for fast training on a CPU.

Computes what transformers' Gemma4UnifiedTextDecoderLayer computes, over the same parameters, for
right-padded causal batches: matrices in bfloat16, norms and the residual stream in float32.
tests/unit/tools/nano compares both.
"""

from __future__ import annotations

import torch
from torch import nn

KeyValue = tuple[torch.Tensor, torch.Tensor]
Rotation = tuple[torch.Tensor, torch.Tensor]

EPSILON = 1e-6


def norm(hidden: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """RMS norm in float32."""
    return nn.functional.rms_norm(hidden.float(), hidden.shape[-1:], weight, EPSILON)


def linear(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Matrix product in bfloat16."""
    return nn.functional.linear(hidden.bfloat16(), weight.bfloat16())


def rotations(positions: torch.Tensor, inverse_frequencies: torch.Tensor) -> Rotation:
    """Cosines and sines, (length, head_dim) each."""
    angles = positions.float()[:, None] * inverse_frequencies.float()[None]
    doubled = torch.cat((angles, angles), dim=-1)
    return doubled.cos(), doubled.sin()


def rotate(heads: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Rotary embedding of (batch, length, heads, head_dim)."""
    cos, sin = (part[None, :, None] for part in rotation)
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat((-second, first), dim=-1) * sin


def _heads(hidden: torch.Tensor, weight: torch.Tensor, head_dim: int) -> torch.Tensor:
    return linear(hidden, weight).unflatten(-1, (-1, head_dim))


def attend(queries: torch.Tensor, shared: KeyValue) -> torch.Tensor:
    """Causal attention with unit scale; queries (batch, length, heads, head_dim)."""
    keys, values = shared
    mixed = nn.functional.scaled_dot_product_attention(
        queries.transpose(1, 2).bfloat16(),
        keys.transpose(1, 2).repeat_interleave(queries.shape[2] // keys.shape[2], dim=1),
        values.transpose(1, 2).repeat_interleave(queries.shape[2] // keys.shape[2], dim=1),
        is_causal=True,
        scale=1.0,
    )
    return mixed.transpose(1, 2).flatten(-2)


def keys_and_values(layer: nn.Module, hidden: torch.Tensor, rotation: Rotation) -> KeyValue:
    """The layer's own keys and values; full layers use one projection for both."""
    attention = layer.self_attn
    raw = _heads(hidden, attention.k_proj.weight, attention.head_dim)
    keys = rotate(norm(raw, attention.k_norm.weight), rotation)
    if attention.v_proj is not None:
        raw = _heads(hidden, attention.v_proj.weight, attention.head_dim)
    return keys.bfloat16(), norm(raw, None).bfloat16()


def decoder_layer(
    layer: nn.Module, hidden: torch.Tensor, rotation: Rotation, shared: KeyValue | None = None
) -> tuple[torch.Tensor, KeyValue]:
    """One layer on the float32 residual stream; `shared` replaces its own keys and values."""
    attention, mlp = layer.self_attn, layer.mlp
    normed = norm(hidden, layer.input_layernorm.weight)
    if shared is None:
        shared = keys_and_values(layer, normed, rotation)
    queries = norm(
        _heads(normed, attention.q_proj.weight, attention.head_dim), attention.q_norm.weight
    )
    mixed = linear(attend(rotate(queries, rotation), shared), attention.o_proj.weight)
    hidden = hidden + norm(mixed, layer.post_attention_layernorm.weight)
    normed = norm(hidden, layer.pre_feedforward_layernorm.weight)
    gate = linear(normed, mlp.gate_proj.weight)
    inner = nn.functional.gelu(gate, approximate="tanh") * linear(normed, mlp.up_proj.weight)
    out = linear(inner, mlp.down_proj.weight)
    return hidden + norm(out, layer.post_feedforward_layernorm.weight), shared
