"""The error for media that are beyond what is served."""

from __future__ import annotations


class MediaLimitError(Exception):
    """The medium can be decoded, but is beyond what is served; the text is for the client."""
