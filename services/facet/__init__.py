"""Facet: Gemma 4 12B served as a cluster. The public SDK is `Client` and `AsyncClient`.

The SDK's names are loaded when first used, so that a service that imports `facet` pays nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facet.client import (
        AsyncClient,
        Client,
        FacetApiError,
        StreamCorruptedError,
        Tls,
        audio,
        function,
        function_result,
        image,
        model_turn,
        text,
        user_turn,
        video,
    )

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "FacetApiError",
    "StreamCorruptedError",
    "Tls",
    "__version__",
    "audio",
    "function",
    "function_result",
    "image",
    "model_turn",
    "text",
    "user_turn",
    "video",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from facet import client  # noqa: PLC0415 - loaded on first use

    return getattr(client, name)
