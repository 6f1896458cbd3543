"""Gemma 4 12B as its published configurations describe it; lengths are set by the planner."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_SLIDING_THEN_FULL = ("sliding_attention",) * 5 + ("full_attention",)

TARGET_CONFIG: Mapping[str, object] = MappingProxyType(
    {
        "model_type": "gemma4_unified",
        "text_config": {
            "hidden_size": 3840,
            "intermediate_size": 15360,
            "num_hidden_layers": 48,
            "layer_types": [*_SLIDING_THEN_FULL] * 8,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 256,
            "num_global_key_value_heads": 1,
            "global_head_dim": 512,
            "attention_k_eq_v": True,
            "sliding_window": 1024,
            "vocab_size": 262144,
        },
        "vision_config": {
            "patch_size": 16,
            "pooling_kernel_size": 3,
            "mm_embed_dim": 3840,
            "mm_posemb_size": 1120,
            "num_soft_tokens": 280,
        },
        "audio_config": {"audio_embed_dim": 640},
    }
)

DRAFTER_CONFIG: Mapping[str, object] = MappingProxyType(
    {
        "model_type": "gemma4_unified_assistant",
        "backbone_hidden_size": 3840,
        "text_config": {
            "hidden_size": 1024,
            "intermediate_size": 8192,
            "num_hidden_layers": 4,
            "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 256,
            "num_global_key_value_heads": 1,
            "global_head_dim": 512,
            "attention_k_eq_v": True,
            "num_kv_shared_layers": 4,
            "sliding_window": 1024,
            "vocab_size": 262144,
        },
    }
)

MAX_CONTEXT_TOKENS = 262_144
"""Copies of the configuration say 131072 or 262144: the length is always set."""
