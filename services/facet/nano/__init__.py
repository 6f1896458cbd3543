"""The nano checkpoint: a test model of Gemma 4's architecture, about four million parameters.

It runs through the same vLLM code as Gemma 4 12B, on a CPU, and answers what it was trained on:
repeating and reversing a phrase, counting, a dozen facts, recall of a name or code from an earlier
turn, thoughts, tool calls, the colour and shape of an object in an image, digits dialled in a
recording, and the order of colours in a video. It knows nothing else. docs/nano.md lists the
wordings; `python -m tools.nano.train` makes it.
"""

from pathlib import Path

TARGET_DIR = Path(__file__).parent / "target"
"""Folder of the target model, its tokenizer and its processor."""

DRAFTER_DIR = Path(__file__).parent / "drafter"
"""Folder of the MTP drafter (a gemma4_unified_assistant)."""
