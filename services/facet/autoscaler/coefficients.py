"""What a request costs a pod: coefficients, and how they are learned from timing spans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from facet.autoscaler.work import Modality, Work


@dataclass(frozen=True)
class TimingSample:
    """One attempt that generated, from a timing span. Seconds as the worker saw them.

    `prompt_tokens` has all tokens by modality, `cached_tokens` those of text that cost nothing.
    `prefill_seconds` is from the engine taking it up to its first token, `decode_seconds` from
    there to its last, `batch_size` the mean number of candidates inside the engine meanwhile.
    """

    prompt_tokens: Mapping[Modality, int]
    cached_tokens: int
    output_tokens: int
    steps: int
    prefill_seconds: float
    decode_seconds: float
    batch_size: float


@dataclass(frozen=True)
class ServiceCoefficients:
    """A pod's service times.

    A prompt takes `prefill_base_seconds` and `prefill_token_seconds` for each token that is not
    cached; a step of a batch of b sequences `step_base_seconds + b * step_sequence_seconds`, and
    yields `tokens_per_step` tokens for each of them (speculation). `mean_prefill_seconds` and
    `mean_steps` are those of the requests that it was learned from, 0 when nothing was learned.
    """

    prefill_base_seconds: float = 0.0
    prefill_token_seconds: Mapping[Modality, float] = field(default_factory=dict)
    step_base_seconds: float = 0.0
    step_sequence_seconds: float = 0.0
    tokens_per_step: float = 1.0
    mean_prefill_seconds: float = 0.0
    mean_steps: float = 0.0
    samples: int = 0

    def prompt_seconds(self, work: Work) -> float:
        """Engine seconds that the prompts' tokens take, without `prefill_base_seconds`."""
        costs = self.prefill_token_seconds
        dearest = max(costs.values(), default=0.0)
        return sum(costs.get(kind, dearest) * n for kind, n in work.prompt_tokens.items())

    def step_seconds(self, batch: float) -> float:
        """How long a step of a batch takes."""
        return self.step_base_seconds + batch * self.step_sequence_seconds

    def batch_within(self, max_sequences: int, inter_token_seconds: float) -> float:
        """The largest batch whose tokens come `inter_token_seconds` apart; at least 1."""
        room = inter_token_seconds * self.tokens_per_step - self.step_base_seconds
        if room >= max_sequences * self.step_sequence_seconds:
            return float(max_sequences)
        return max(1.0, room / self.step_sequence_seconds)

    def pod_seconds(self, work: Work, batch: float) -> float:
        """Seconds that a pod running `batch` sequences needs for the work.

        By Little's law, requests that stay R seconds in a batch of b leave every R / b seconds.
        Steps that also carry prompts are longer for all, which the measured `step_seconds` has in
        it for the mix it was learned from: so much of the slope as that mix's prompts explain is
        charged to this work's own prompts instead.
        """
        steps = work.output_tokens / self.tokens_per_step
        prompts = self.prompt_seconds(work)
        residence = work.requests * self.prefill_base_seconds + prompts
        residence += steps * self.step_base_seconds
        slope, stalls = self.step_sequence_seconds, 1.0
        if self.mean_prefill_seconds > 0 and self.mean_steps > 0:
            stall = self.mean_prefill_seconds / self.mean_steps
            stalls = min(1.0, slope / stall)
            slope -= stalls * stall
        return residence / batch + steps * slope + stalls * prompts

    def pod_requests_per_second(self, mix: Work, batch: float) -> float:
        """Requests a second of a pod running `batch` sequences of this mix; inf for no work."""
        seconds = self.pod_seconds(mix, batch)
        return mix.requests / seconds if seconds > 0 else float("inf")
