"""The SDK and the command line. Needs grpcio and protobuf, nothing else."""

from facet.client.async_client import AsyncChat, AsyncClient
from facet.client.async_stream import AsyncStream
from facet.client.content import (
    Content,
    FunctionDeclaration,
    MediaOptions,
    Part,
    Prompt,
    audio,
    function,
    function_result,
    image,
    model_turn,
    text,
    user_turn,
    video,
)
from facet.client.errors import FacetApiError, StreamCorruptedError
from facet.client.events import (
    CandidateFinished,
    Finished,
    FinishReason,
    FunctionCall,
    Queued,
    Restarted,
    Resumed,
    Started,
    StreamEvent,
    TextDelta,
    ThoughtDelta,
    Timings,
    Usage,
)
from facet.client.generation import Candidate, Generation
from facet.client.model import Model
from facet.client.request import GenerateOptions
from facet.client.stored import GenerationState, StoredGeneration
from facet.client.sync_client import Chat, Client
from facet.client.sync_stream import Stream
from facet.client.tls import Tls
from facet.core.errors import FieldViolation

__all__ = [
    "AsyncChat",
    "AsyncClient",
    "AsyncStream",
    "Candidate",
    "CandidateFinished",
    "Chat",
    "Client",
    "Content",
    "FacetApiError",
    "FieldViolation",
    "FinishReason",
    "Finished",
    "FunctionCall",
    "FunctionDeclaration",
    "GenerateOptions",
    "Generation",
    "GenerationState",
    "MediaOptions",
    "Model",
    "Part",
    "Prompt",
    "Queued",
    "Restarted",
    "Resumed",
    "Started",
    "StoredGeneration",
    "Stream",
    "StreamCorruptedError",
    "StreamEvent",
    "TextDelta",
    "ThoughtDelta",
    "Timings",
    "Tls",
    "Usage",
    "audio",
    "function",
    "function_result",
    "image",
    "model_turn",
    "text",
    "user_turn",
    "video",
]
