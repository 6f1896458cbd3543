"""Base of the services' settings models: one prefix a service, secrets redacted when logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Read from the environment; subclasses set `model_config = settings_config("GATEWAY")`."""

    def effective(self) -> dict[str, Any]:
        """All values as they are in force, secrets as stars, for one log line at start."""
        return {
            name: str(value) if isinstance(value, SecretStr) else value
            for name, value in self.model_dump(mode="python").items()
        }

    def variable(self, field: str) -> str:
        """The environment variable of a field."""
        return f"{self.model_config['env_prefix']}{field}".upper()


class WeightsSettings(ServiceSettings):
    """Where a worker's weights come from; `facet.weights` resolves them."""

    weights: str = ""
    """Directory, `gs://bucket/prefix`, or Hugging Face model `org/name[@revision]`; empty takes the
    profile's source."""
    drafter_weights: str = ""
    """The MTP drafter's, likewise."""
    weights_cache: Path | None = None
    """Folder of downloads; unset takes that of Hugging Face: HF_HUB_CACHE, HF_HOME."""
    offline: bool = False
    """Fetch nothing; without it, only what is not here is fetched."""


def settings_config(service: str) -> SettingsConfigDict:
    """Configuration of a settings model: `FACET_<SERVICE>_<FIELD>`; a wrong value is refused."""
    return SettingsConfigDict(
        env_prefix=f"FACET_{service}_", frozen=True, extra="forbid", case_sensitive=False
    )
