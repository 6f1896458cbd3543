"""Facet: Gemma 4 12B served as a cluster. The public SDK is `Client` and `AsyncClient`."""

__version__ = "0.1.0"
