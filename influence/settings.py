"""Settings that the API and the workers share, read from the environment (prefix DATAINF_) by each process once."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StorageSettings(BaseSettings):
    """Where things are kept."""

    model_config = SettingsConfigDict(env_prefix="DATAINF_", frozen=True, extra="ignore")

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="State role: records, queue, codes. Durable.")
    cache_url: str | None = Field(None, description="Cache role: full gradients. The state server when unset.")
    data_dir: Path = Field(Path(".datainf"), description="Folder of uploads; API and workers share it.")
    allowed_roots: list[Path] = Field([], description="JSON list of folders that requests may name paths in.")
    base_model_aliases: dict[str, str] = Field(
        {}, description="JSON object, alias to a folder or to 'package:<module>/<folder>'."
    )
    hub_offline: bool = Field(False, description="Never reach for the model hub; use what is in the cache.")
    storage_budget_bytes: int = Field(2 << 30, ge=0, description="Redis bytes one index may take.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_json: bool = Field(False, description="One JSON object a line instead of text.")
