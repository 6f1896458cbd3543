"""Service-time coefficients, learned from timing spans."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace

from facet.autoscaler.coefficients import ServiceCoefficients, TimingSample
from facet.autoscaler.least_squares import LeastSquares
from facet.autoscaler.work import Modality

_VERSION = 1
_MOST_SECONDS = 24 * 3600.0
_KEPT = 0.999
"""As least squares forget."""
_KINDS = tuple(Modality)
_THOUSAND = 1000.0
"""Prompt tokens of one unit, so that all terms are of a size."""


@dataclass(frozen=True)
class LearnedCoefficients:
    """What timing spans of one pool's workers told so far. Serializable; see `observed`.

    `steps`, `tokens`, `batches` and `prompts` are decayed sums over `weight` samples: decode steps,
    the tokens that they gave, batch sizes, engine seconds of prompt tokens.
    """

    prefill: LeastSquares
    step: LeastSquares
    weight: float = 0.0
    steps: float = 0.0
    tokens: float = 0.0
    batches: float = 0.0
    prompts: float = 0.0
    samples: int = 0
    refused: int = 0
    prior: ServiceCoefficients = field(default_factory=ServiceCoefficients)

    @classmethod
    def starting(cls, prior: ServiceCoefficients) -> LearnedCoefficients:
        """Begin with what a profile promises."""
        dearest = max(prior.prefill_token_seconds.values(), default=0.0)
        costs = [prior.prefill_token_seconds.get(kind, dearest) * _THOUSAND for kind in _KINDS]
        return cls(
            LeastSquares.starting((prior.prefill_base_seconds, *costs)),
            LeastSquares.starting((prior.step_base_seconds, prior.step_sequence_seconds)),
            prior=prior,
        )

    def observed(self, sample: TimingSample) -> LearnedCoefficients:
        """After one more attempt; an impossible sample only counts as `refused`."""
        if not _is_possible(sample):
            return replace(self, refused=self.refused + 1)
        x = _prompt(sample)
        after = self
        if sample.prefill_seconds > 0:
            after = replace(after, prefill=self.prefill.observed(x, sample.prefill_seconds))
        terms = zip(x[1:], after.prefill.weights[1:], strict=True)
        prompts = sum(units * max(0.0, cost) for units, cost in terms)
        after = replace(after, samples=self.samples + 1)
        if sample.steps < 1 or sample.decode_seconds <= 0:
            return after
        x = (1.0, max(1.0, sample.batch_size))
        return replace(
            after,
            step=self.step.observed(x, sample.decode_seconds / sample.steps),
            weight=self.weight * _KEPT + 1,
            steps=self.steps * _KEPT + sample.steps,
            tokens=self.tokens * _KEPT + sample.output_tokens,
            batches=self.batches * _KEPT + x[1],
            prompts=self.prompts * _KEPT + prompts,
        )

    @property
    def coefficients(self) -> ServiceCoefficients:
        """The law that fits best with no negative cost."""
        base, *costs = self.prefill.weights
        step_base, slope = self.step.weights
        if self.weight > 0:
            batch = self.batches / self.weight
            level = step_base + slope * batch
            if slope < 0:
                step_base, slope = level, 0.0
            elif step_base < 0:
                step_base, slope = 0.0, level / batch
        return ServiceCoefficients(
            prefill_base_seconds=max(0.0, base),
            prefill_token_seconds={
                kind: max(0.0, cost) / _THOUSAND for kind, cost in zip(_KINDS, costs, strict=True)
            },
            step_base_seconds=max(0.0, step_base),
            step_sequence_seconds=max(0.0, slope),
            tokens_per_step=max(1.0, self.tokens / self.steps)
            if self.steps > 0
            else self.prior.tokens_per_step,
            mean_prefill_seconds=self.prompts / self.weight if self.weight > 0 else 0.0,
            mean_steps=self.steps / self.weight if self.weight > 0 else 0.0,
            samples=self.samples,
        )

    def to_json(self) -> str:
        """Compact text for a store."""
        return json.dumps({"version": _VERSION, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> LearnedCoefficients:
        """The inverse. Errors: ValueError for another version or what is no such text."""
        try:
            held = json.loads(text)
            if held.pop("version") != _VERSION:
                raise ValueError("learned coefficients: written by another version; start anew")
            prior = held.pop("prior")
            costs = prior.pop("prefill_token_seconds")
            prior["prefill_token_seconds"] = {Modality(kind): cost for kind, cost in costs.items()}
            prefill, step = _law(held.pop("prefill")), _law(held.pop("step"))
            return cls(prefill, step, **held, prior=ServiceCoefficients(**prior))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"learned coefficients: not what was written: {error}") from error


def _law(held: dict[str, list[float] | float]) -> LeastSquares:
    weights, information = held["weights"], held["information"]
    deviation = held["deviation"]
    if isinstance(weights, list) and isinstance(information, list) and isinstance(deviation, float):
        return LeastSquares(tuple(weights), tuple(information), deviation)
    raise ValueError("learned coefficients: a law lacks its numbers")


def _prompt(sample: TimingSample) -> tuple[float, ...]:
    """1, then thousands of tokens that were computed, by modality."""
    text = sample.prompt_tokens.get(Modality.TEXT, 0) - sample.cached_tokens
    others = (sample.prompt_tokens.get(kind, 0) for kind in _KINDS[1:])
    return (1.0, max(0, text) / _THOUSAND, *(tokens / _THOUSAND for tokens in others))


def _is_possible(sample: TimingSample) -> bool:
    times = (sample.prefill_seconds, sample.decode_seconds, sample.batch_size)
    counts = (sample.cached_tokens, sample.output_tokens, sample.steps)
    return (
        all(math.isfinite(each) and 0 <= each <= _MOST_SECONDS for each in times)
        and all(each >= 0 for each in (*counts, *sample.prompt_tokens.values()))
        and sample.cached_tokens <= sum(sample.prompt_tokens.values())
    )
