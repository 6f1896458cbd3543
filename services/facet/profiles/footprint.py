"""What a profile holds in a device's memory beside its KV cache."""

from __future__ import annotations

from dataclasses import dataclass

from facet.profiles.kv import KvLayout
from facet.profiles.profile import Device, KvDtype, Profile
from facet.profiles.shape import ModelShape, model_shape

_BF16_BYTES = 2
_LOGIT_BYTES = 8
"""fp32, and once more as probabilities."""

_BLOCK_TOKENS = {Device.GPU: 16, Device.CPU: 128}
_CONCURRENT_BATCHES = {Device.GPU: 2, Device.CPU: 1}


@dataclass(frozen=True)
class Footprint:
    """A profile's parts, from its configurations. Bytes."""

    profile: Profile
    shape: ModelShape
    drafter: ModelShape

    @classmethod
    def of(cls, profile: Profile) -> Footprint:
        """Errors: ConfigError."""
        return cls(profile, model_shape(profile.config), model_shape(profile.drafter_config))

    @property
    def weight_bytes(self) -> int:
        """Resident weights of the target."""
        computed = self.shape.weight_bytes(self.profile.target.weights)
        return int(computed * self.profile.memory.weights_spread)

    @property
    def drafter_bytes(self) -> int:
        """Resident weights of the drafter; it has no KV cache of its own."""
        return self.drafter.weight_bytes(self.profile.drafter.weights)

    @property
    def load_peak_bytes(self) -> int:
        """Weights and what loading stages: a layer being repacked, on a GPU or the embedding.

        In RAM the files are mapped: a tensor that is copied out of one is page cache, which the
        kernel takes back, and only a repacked layer is there twice.
        """
        staged = self.shape.largest_layer_bytes
        if self.profile.device is Device.GPU:
            staged = max(staged, self.shape.largest_tensor_bytes)
        return self.weight_bytes + self.drafter_bytes + staged + self.profile.memory.runtime_bytes

    def activation_bytes(self, batched_tokens: int, sequences: int) -> int:
        """Peak of one step: a layer over all its tokens, logits of all sampled rows, media.

        The layer's peak holds gate, up and their product, four hidden states, and queries twice.
        """
        shape = self.shape
        head_dim = max(layer.head_dim for layer in shape.layers)
        width = 3 * shape.ffn + 4 * shape.hidden + 2 * shape.heads * head_dim
        rows = max(
            min(last, sequences) * (depth + 1)
            for first, last, depth in self.profile.engine.depth_by_batch
            if first <= sequences
        )
        encoder_cache = batched_tokens * shape.hidden * _BF16_BYTES
        layer = batched_tokens * width * _BF16_BYTES
        return layer + rows * shape.vocabulary * _LOGIT_BYTES + encoder_cache

    def kv(self, dtype: KvDtype) -> KvLayout:
        """The KV cache under the engine that the profile's device runs."""
        device = self.profile.device
        return KvLayout(self.shape, dtype, _BLOCK_TOKENS[device], _CONCURRENT_BATCHES[device])
