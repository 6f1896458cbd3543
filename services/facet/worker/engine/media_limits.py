"""What of a medium is read, and the error for what is not served."""

from __future__ import annotations

from dataclasses import dataclass

from facet.api.v1 import content_pb2


class MediaLimitError(Exception):
    """The medium can be decoded, but is beyond what is served; the text is for the client."""


@dataclass(frozen=True)
class Window:
    """Seconds from the beginning of the recording; `end_seconds` None is its end."""

    start_seconds: float = 0.0
    end_seconds: float | None = None

    @classmethod
    def of(cls, options: content_pb2.MediaOptions) -> Window:
        """The window that a part asks for."""
        start = options.start_offset.ToTimedelta().total_seconds()
        end = None
        if options.HasField("end_offset"):
            end = options.end_offset.ToTimedelta().total_seconds()
        if start < 0 or (end is not None and end <= start):
            raise MediaLimitError("the window is empty")
        return cls(start, end)

    def __str__(self) -> str:
        return f"window={self.start_seconds}-{self.end_seconds}"
