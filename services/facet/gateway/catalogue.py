"""The models of this deployment, each with its queue, the reader of its logs and its workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facet.core.errors import ModelNotFoundError
from facet.core.models import CARDS, ModelCard
from facet.gateway.log_reader import LogReader
from facet.gateway.workers import LiveWorkers
from facet.queue.port import Queue


def cards_of(names: Sequence[str]) -> list[ModelCard]:
    """The configured models' cards, in order. Errors: ValueError naming an unknown model."""
    unknown = sorted(set(names) - set(CARDS))
    if unknown:
        raise ValueError(f"no such model: {', '.join(unknown)}; known are {', '.join(CARDS)}")
    return [CARDS[name] for name in dict.fromkeys(names)]


@dataclass(frozen=True)
class Route:
    """Where one model's requests go."""

    card: ModelCard
    queue: Queue
    reader: LogReader
    workers: LiveWorkers


class Catalogue:
    """All routes, in configuration order; the first is the default."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._by_name = {route.card.name: route for route in routes}

    def route(self, model: str) -> Route:
        """The route of a model; the default's for an empty name. Errors: ModelNotFoundError."""
        if not model:
            return self.routes[0]
        route = self._by_name.get(model)
        if route is None:
            raise ModelNotFoundError(
                f"no model {model!r} is served; ModelService.ListModels names those that are",
                metadata={"model": model},
            )
        return route
