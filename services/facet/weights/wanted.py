"""Which files of a checkpoint vLLM reads, and in which order they are fetched."""

from __future__ import annotations

from collections.abc import Iterable

from facet.weights.cached import CONFIG
from facet.weights.names import is_plain_name
from facet.weights.transfer import RemoteFile

_ENDINGS = (".safetensors", ".json", ".jinja", ".model", "tokenizer.txt", "merges.txt", "vocab.txt")


def is_wanted(name: str) -> bool:
    """Whether the engine needs it: other formats of the same weights are left where they are.

    Hidden names are ours, such as the record of a folder: a model must not bring them.
    """
    return is_plain_name(name) and not name.startswith(".") and name.endswith(_ENDINGS)


def in_order(files: Iterable[RemoteFile]) -> list[RemoteFile]:
    """Small files first, then weights, `config.json` last: with it a checkpoint counts as whole."""
    wanted = (file for file in files if is_wanted(file.name))
    return sorted(
        wanted,
        key=lambda file: (file.name == CONFIG, file.name.endswith(".safetensors"), file.name),
    )
