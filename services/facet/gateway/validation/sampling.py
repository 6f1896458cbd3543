"""Checks of sampling and output options."""

from __future__ import annotations

from facet.api.v1.generation_pb2 import GenerationConfig
from facet.core.models import ModelCard
from facet.gateway.validation.findings import Findings
from facet.queue.id_words import MAX_CANDIDATES

PATH = "request.generation_config"
MAX_TEMPERATURE = 2.0
MAX_PENALTY = 2.0
MAX_STOP_SEQUENCES = 16
MAX_STOP_SEQUENCE_BYTES = 256
MAX_LOGPROBS = 20
MEDIA_RESOLUTIONS_TOKENS = (0, 70, 140, 280, 560, 1120)


def check_generation_config(config: GenerationConfig, card: ModelCard, findings: Findings) -> None:
    """Check `request.generation_config`."""
    _check_probabilities(config, card, findings)
    _check_penalties(config, findings)
    _check_lengths(config, card, findings)
    _check_stop_sequences(config, findings)
    _check_thinking(config, card, findings)
    _check_unserved(config, findings)


def _check_probabilities(config: GenerationConfig, card: ModelCard, findings: Findings) -> None:
    if config.HasField("temperature"):
        findings.within(f"{PATH}.temperature", config.temperature, 0, MAX_TEMPERATURE)
    if config.HasField("top_p"):
        findings.within(f"{PATH}.top_p", config.top_p, 0, 1, is_low_excluded=True)
    if config.HasField("min_p") and config.min_p != 0:
        if card.speculative_tokens:
            findings.wrong(
                f"{PATH}.min_p", f"model {card.name} uses speculative decoding, which excludes it"
            )
        else:
            findings.unserved(f"{PATH}.min_p")


def _check_penalties(config: GenerationConfig, findings: Findings) -> None:
    for name in ("presence_penalty", "frequency_penalty"):
        if config.HasField(name):
            findings.within(f"{PATH}.{name}", getattr(config, name), -MAX_PENALTY, MAX_PENALTY)
    if config.HasField("repetition_penalty"):
        findings.within(
            f"{PATH}.repetition_penalty",
            config.repetition_penalty,
            0,
            MAX_PENALTY,
            is_low_excluded=True,
        )


def _check_lengths(config: GenerationConfig, card: ModelCard, findings: Findings) -> None:
    most = card.max_output_tokens
    if config.HasField("max_output_tokens"):
        findings.within(f"{PATH}.max_output_tokens", config.max_output_tokens, 1, most)
        most = min(most, config.max_output_tokens)
    if config.HasField("min_output_tokens"):
        findings.within(f"{PATH}.min_output_tokens", config.min_output_tokens, 0, most)


def _check_stop_sequences(config: GenerationConfig, findings: Findings) -> None:
    if len(config.stop_sequences) > MAX_STOP_SEQUENCES:
        findings.wrong(f"{PATH}.stop_sequences", f"has more than {MAX_STOP_SEQUENCES} entries")
        return
    for index, stop in enumerate(config.stop_sequences):
        if not stop:
            findings.wrong(f"{PATH}.stop_sequences[{index}]", "is empty")
        elif len(stop.encode()) > MAX_STOP_SEQUENCE_BYTES:
            findings.wrong(
                f"{PATH}.stop_sequences[{index}]", f"is longer than {MAX_STOP_SEQUENCE_BYTES} bytes"
            )


def _check_thinking(config: GenerationConfig, card: ModelCard, findings: Findings) -> None:
    if config.thinking.enabled and not card.supports_thinking:
        findings.wrong(f"{PATH}.thinking.enabled", f"model {card.name} does not think")
    if config.thinking.budget_tokens:
        findings.unserved(f"{PATH}.thinking.budget_tokens")


def _check_unserved(config: GenerationConfig, findings: Findings) -> None:
    if config.HasField("candidate_count"):
        findings.within(f"{PATH}.candidate_count", config.candidate_count, 1, MAX_CANDIDATES)
    findings.within(f"{PATH}.logprobs", config.logprobs, 0, MAX_LOGPROBS)
    if config.response_logprobs:
        findings.unserved(f"{PATH}.response_logprobs")
    elif config.logprobs:
        findings.wrong(f"{PATH}.logprobs", "needs response_logprobs")
    response_format = config.WhichOneof("response_format")
    if response_format:
        findings.unserved(f"{PATH}.{response_format}")
    if config.media_resolution_tokens not in MEDIA_RESOLUTIONS_TOKENS:
        findings.wrong(
            f"{PATH}.media_resolution_tokens",
            f"must be one of {', '.join(map(str, MEDIA_RESOLUTIONS_TOKENS))}",
        )
    elif config.media_resolution_tokens:
        findings.unserved(f"{PATH}.media_resolution_tokens")
