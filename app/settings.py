"""Settings of the API process, read from the environment once."""

import re

from pydantic import Field, SecretStr, model_validator

from influence.rows.images.limits import ImageLimits
from influence.settings import StorageSettings, is_loopback

_ORIGIN = re.compile(r"https?://[^/?#*\s]+")
#: Shorter keys can be guessed.
MIN_KEY_CHARACTERS = 16


class ApiSettings(StorageSettings):
    """How the API listens and what it takes. Prefix DATAINF_."""

    host: str = Field("127.0.0.1", description="Address to listen on; any but loopback needs an API key.")
    port: int = Field(8321, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    api_keys: list[SecretStr] = Field(
        [],
        description="JSON list of administrators' keys; without them, and without any that 'datainf keys' made, none "
        "are asked for.",
    )
    require_keys: bool = Field(
        False, description="Ask for a key also while there is none; lets others be listened to without api_keys."
    )
    allowed_hosts: list[str] = Field(
        [],
        description="JSON list of host names that requests may be for, beside this machine's own; any, where it is "
        "empty and keys are set.",
    )
    allowed_origins: list[str] = Field(
        [], description="JSON list of origins, such as 'https://curate.example', whose pages may call from a browser."
    )
    max_adapter_bytes: int = Field(512 << 20, ge=1, description="Maximum size of an uploaded adapter zip, in bytes.")
    max_dataset_bytes: int = Field(
        2 << 30, ge=1, description="Maximum size of a data set file, in bytes, before and after unpacking."
    )
    max_rows: int = Field(10_000_000, ge=1, description="Most rows of a data set.")
    max_image_side: int = Field(8192, ge=1, le=16_384, description="Most pixels of an image's longer side.")
    max_image_pixels: int = Field(24_000_000, ge=1, description="Most pixels of an image.")
    max_image_bytes: int = Field(32 << 20, ge=1, description="Maximum size of an image's file, in bytes.")
    max_request_bytes: int = Field(8 << 20, ge=1, description="Maximum size of a JSON body, in bytes.")
    max_wait_seconds: float = Field(60.0, ge=0, description="Longest wait that 'Prefer: wait=N' gets.")
    max_connections: int = Field(512, ge=1, description="Most connections at once; more are answered with 503.")
    max_queued_queries: int = Field(1000, ge=1, description="Most queries, audits, sweeps and previews at once.")
    max_jobs_per_namespace: int = Field(500, ge=1, description="Most jobs of one namespace that wait or run at once.")
    max_requests_per_caller: int = Field(
        64, ge=1, description="Most requests of one key, or of one address without keys, that are answered at once."
    )
    max_requests_per_minute: int = Field(
        6000, ge=1, description="Most requests per minute of one key, or of one address without keys."
    )
    max_event_streams: int = Field(256, ge=1, description="Most callers who watch a job's events at once.")
    default_page_length: int = Field(20, ge=1, description="Items per page when 'limit' is left out.")
    max_page_length: int = Field(200, ge=1, description="Most items per page.")

    @property
    def image_limits(self) -> ImageLimits:
        """How large an image of a data set may be."""
        return ImageLimits(self.max_image_side, self.max_image_pixels, self.max_image_bytes)

    @property
    def has_keys(self) -> bool:
        """Whether nobody is let in without a key, whatever is stored."""
        return bool(self.api_keys) or self.require_keys

    @model_validator(mode="after")
    def _no_open_door(self) -> "ApiSettings":
        if not self.has_keys and not is_loopback(self.host):
            raise ValueError(
                f"the API would listen on {self.host} without asking for a key: set DATAINF_API_KEYS to a JSON list "
                f"of keys, or DATAINF_REQUIRE_KEYS to true, or DATAINF_HOST to 127.0.0.1"
            )
        if any(len(key.get_secret_value()) < MIN_KEY_CHARACTERS for key in self.api_keys):
            raise ValueError(f"an API key has to have at least {MIN_KEY_CHARACTERS} characters")
        if unfit := [origin for origin in self.allowed_origins if not _ORIGIN.fullmatch(origin)]:
            raise ValueError(f"{unfit[0]!r} is no origin: write scheme, host and port only, as in https://a.example")
        return self
