"""Sizes of a checkpoint of Gemma 4's architecture, read from its HF configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facet.profiles.profile import Weights

_BF16_BYTES = 2
_COLOURS = 3
_W4_GROUP = 32

_MATRIX_BYTES = {
    Weights.BF16: 2.0,
    # One scale in fp32 a row, which does not show.
    Weights.FP8: 1.0,
    # Four bits, and one scale in bf16 for each group of 32.
    Weights.W4A16: 0.5 + _BF16_BYTES / _W4_GROUP,
}

SLIDING = "sliding_attention"
FULL = "full_attention"


class ConfigError(ValueError):
    """The configuration is not one of this architecture; the text names the key."""


@dataclass(frozen=True)
class AttentionLayer:
    """One decoder layer that owns KV cache, or, with `shares_kv`, reads another one's."""

    kind: str
    kv_heads: int
    head_dim: int
    shares_kv: bool


@dataclass(frozen=True)
class ModelShape:
    """A decoder's dimensions; `window` is that of the sliding layers, in tokens."""

    hidden: int
    ffn: int
    heads: int
    vocabulary: int
    window: int
    layers: tuple[AttentionLayer, ...]
    embedder_parameters: int
    backbone: int

    @property
    def matrix_parameters(self) -> int:
        """Parameters of the decoder layers' matrices, as vLLM loads them.

        Where K = V, vLLM loads the key's matrix into both slots.
        """
        return sum(self._layer_parameters(layer) for layer in self.layers)

    @property
    def other_parameters(self) -> int:
        """Embedding (tied with the output), media embedders, projections of a drafter."""
        projections = 3 * self.backbone * self.hidden
        return self.vocabulary * self.hidden + self.embedder_parameters + projections

    @property
    def largest_tensor_bytes(self) -> int:
        """The embedding in bf16: the largest single tensor that loading stages."""
        return self.vocabulary * self.hidden * _BF16_BYTES

    @property
    def largest_layer_bytes(self) -> int:
        """The largest layer in bf16, which a repack holds once more."""
        return max(self._layer_parameters(layer) for layer in self.layers) * _BF16_BYTES

    def weight_bytes(self, weights: Weights) -> int:
        """Resident bytes of all parameters, before what an engine adds."""
        matrices = self.matrix_parameters * _MATRIX_BYTES[weights]
        return int(matrices) + self.other_parameters * _BF16_BYTES

    def _layer_parameters(self, layer: AttentionLayer) -> int:
        query = self.heads * layer.head_dim
        key_value = 0 if layer.shares_kv else 2 * layer.kv_heads * layer.head_dim
        return self.hidden * (2 * query + key_value + 3 * self.ffn)


def model_shape(config: Mapping[str, Any]) -> ModelShape:
    """The shape that an HF configuration describes. Errors: ConfigError.

    Takes the nested form (`text_config`) of targets and drafters, and both ways to say that full
    layers have heads of their own: `per_layer_config`, and `global_head_dim` with
    `num_global_key_value_heads`.
    """
    text = config.get("text_config")
    if not isinstance(text, Mapping):
        raise ConfigError("text_config: missing; a gemma4_unified configuration is wanted")
    return ModelShape(
        hidden=_number(text, "hidden_size"),
        ffn=_number(text, "intermediate_size"),
        heads=_number(text, "num_attention_heads"),
        vocabulary=_number(text, "vocab_size"),
        window=_number(text, "sliding_window"),
        layers=_layers(text),
        embedder_parameters=_embedders(config, _number(text, "hidden_size")),
        backbone=int(config.get("backbone_hidden_size") or 0),
    )


def _layers(text: Mapping[str, Any]) -> tuple[AttentionLayer, ...]:
    count = _number(text, "num_hidden_layers")
    kinds = text.get("layer_types") or [FULL if (n + 1) % 6 == 0 else SLIDING for n in range(count)]
    if len(kinds) != count or not set(kinds) <= {SLIDING, FULL}:
        raise ConfigError(f"layer_types: {count} of {SLIDING} and {FULL} are wanted")
    first_shared = count - int(text.get("num_kv_shared_layers") or 0)
    overrides = {int(n): values for n, values in (text.get("per_layer_config") or {}).items()}
    if not overrides:
        own: dict[str, Any] = {"head_dim": text.get("global_head_dim") or 512}
        if text.get("attention_k_eq_v") and text.get("num_global_key_value_heads"):
            own["num_key_value_heads"] = text["num_global_key_value_heads"]
        overrides = {n: own for n, kind in enumerate(kinds) if kind == FULL}
    return tuple(
        AttentionLayer(
            kind=kind,
            kv_heads=_number({**text, **overrides.get(n, {})}, "num_key_value_heads"),
            head_dim=_number({**text, **overrides.get(n, {})}, "head_dim"),
            shares_kv=n >= first_shared,
        )
        for n, kind in enumerate(kinds)
    )


def _embedders(config: Mapping[str, Any], hidden: int) -> int:
    parameters = 0
    vision = config.get("vision_config")
    if isinstance(vision, Mapping):
        width = _number(vision, "mm_embed_dim")
        side = _number(vision, "patch_size") * _number(vision, "pooling_kernel_size")
        parameters += side * side * _COLOURS * width
        parameters += 2 * _number(vision, "mm_posemb_size") * width + width * hidden
    audio = config.get("audio_config")
    if isinstance(audio, Mapping):
        parameters += _number(audio, "audio_embed_dim") * hidden
    return parameters


def _number(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ConfigError(f"{key}: a whole number above 0 is wanted, not {value!r}")
    return value
