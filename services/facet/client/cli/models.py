"""`facet models`: what the deployment serves."""

from __future__ import annotations

import argparse
import dataclasses
import json

from facet.client.cli import terminal
from facet.client.cli.arguments import connect


def run(arguments: argparse.Namespace) -> None:
    """Print the models. Errors: FacetApiError."""
    with connect(arguments) as client:
        models = client.models()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(model) for model in models], ensure_ascii=False))
        return
    for model in models:
        terminal.write_answer(
            f"{model.name}: {model.description}\n"
            f"  {model.context_tokens} tokens of context, reads "
            f"{', '.join(model.input_modalities)}; workers: {model.live_workers}\n"
        )
