"""`facet.v1.ModelService`: what can be asked of which model."""

from __future__ import annotations

from collections.abc import Mapping

from facet.api.v1.generation_pb2 import (
    MODALITY_AUDIO,
    MODALITY_IMAGE,
    MODALITY_TEXT,
    MODALITY_VIDEO,
)
from facet.api.v1.model_service_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    Model,
)
from facet.core.errors import InvalidRequestError
from facet.gateway.calls import Call, Streamed, Unary
from facet.gateway.catalogue import Catalogue, Route

SERVICE = "facet.v1.ModelService"


class ModelService:
    """Describes models as configured, with the number of workers that serve them at present."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def methods(self) -> Mapping[str, Unary | Streamed]:
        """What is served under `facet.v1.ModelService`."""
        return {
            "ListModels": Unary(ListModelsRequest, self.list_models),
            "GetModel": Unary(GetModelRequest, self.get_model),
        }

    async def list_models(self, request: ListModelsRequest, call: Call) -> ListModelsResponse:
        """All models. Errors: StoreUnavailableError, for the live workers cannot be told then."""
        return ListModelsResponse(
            models=[await _describe(route) for route in self._catalogue.routes]
        )

    async def get_model(self, request: GetModelRequest, call: Call) -> GetModelResponse:
        """One model. Errors: ModelNotFoundError, InvalidRequestError, StoreUnavailableError."""
        if not request.name:
            raise InvalidRequestError.of("name", "is empty")
        return GetModelResponse(model=await _describe(self._catalogue.route(request.name)))


async def _describe(route: Route) -> Model:
    card = route.card
    modalities = [MODALITY_TEXT]
    modalities += [MODALITY_IMAGE] if card.max_images else []
    modalities += [MODALITY_AUDIO] if card.max_audios else []
    modalities += [MODALITY_VIDEO] if card.max_videos else []
    return Model(
        name=card.name,
        description=card.description,
        context_tokens=card.context_tokens,
        max_output_tokens=card.max_output_tokens,
        input_modalities=modalities,
        supports_thinking=card.supports_thinking,
        supports_tools=card.supports_tools,
        speculative_tokens=card.speculative_tokens,
        live_workers=await route.workers.count(),
        max_images=card.max_images,
        max_audios=card.max_audios,
        max_videos=card.max_videos,
    )
