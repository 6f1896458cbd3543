"""What is said of the test model, so that nobody takes it for Gemma 4 12B."""

from __future__ import annotations

from facet.client.model import Model

TEST_MODEL = "nano"

START_GEMMA = "Gemma 4 12B is started with `make run PROFILE=auto`."


def model_notice(model: Model) -> str | None:
    """The notice that belongs to a model, or None."""
    if model.name != TEST_MODEL:
        return None
    return f"{model.name} is a test model, not Gemma 4 12B. {model.description} {START_GEMMA}"
