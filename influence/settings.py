"""Settings that the API and the workers share, read from the environment (prefix DATAINF_) by each process once."""

import ipaddress
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

PREFIX = "DATAINF_"

#: What a request is told that would need a download.
OFFLINE = "This service runs offline; it does not download from the Hugging Face Hub."
#: How a process says that its settings are wrong: to start it again would not help.
EXIT_SETTINGS = 2
#: Object stores that are shared by machines; a folder is what every machine mounts.
_STORES = ("s3://", "gs://", "az://", "file:///")
_SERVERS = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://")
_FIELD = re.compile(r'field "(\w+)"')


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address: known without asking a resolver."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class StorageSettings(BaseSettings):
    """Where things are kept."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="State role: records, queue, codes. Durable.")
    cache_url: str | None = Field(None, description="Cache role: full gradients. The state server when unset.")
    data_dir: Path = Field(
        Path(".datainf"),
        description="Folder of uploads; API and workers share it. With files_url a cache, of each machine its own.",
    )
    files_url: str | None = Field(
        None, description="Object store that keeps uploads, such as 's3://bucket/prefix' (needs the extra 'store')."
    )
    files_cache_bytes: int = Field(
        50 << 30, ge=0, description="Bytes of the data directory that copy an object store; the least used leave."
    )
    allowed_roots: list[Path] = Field([], description="JSON list of folders that requests may name paths in.")
    base_model_aliases: dict[str, str] = Field(
        {}, description="JSON object, alias to a folder or to 'package:<module>/<folder>'."
    )
    hub_offline: bool = Field(False, description="Never reach for the model hub; use what is in the cache.")
    storage_budget_bytes: int = Field(2 << 30, ge=0, description="Redis bytes one index may take.")
    webhook_private_addresses: bool = Field(
        False, description="Let webhooks reach this machine and private networks; otherwise only public addresses."
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_json: bool = Field(False, description="One JSON object a line instead of text.")
    traces: bool = Field(
        False, description="Send OpenTelemetry traces to OTEL_EXPORTER_OTLP_ENDPOINT (needs the extra 'otel')."
    )

    @field_validator("redis_url", "cache_url")
    @classmethod
    def _is_known_server(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(_SERVERS):
            raise ValueError(f"the server is named by a URL that begins with {', '.join(_SERVERS)}")
        return value

    @field_validator("files_url")
    @classmethod
    def _is_known_store(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(_STORES):
            raise ValueError(f"the object store is named by a URL that begins with {', '.join(_STORES)}")
        if value is not None and find_spec("obstore") is None:
            raise ValueError("object stores need the extra 'store': pip install 'datainf-service[store]'")
        return value

    @field_validator("traces")
    @classmethod
    def _has_exporter(cls, value: bool) -> bool:
        if value and find_spec("opentelemetry.exporter") is None:
            raise ValueError("traces need the extra 'otel': pip install 'datainf-service[otel]'")
        return value


def describe_problems(error: ValidationError | SettingsError) -> Iterator[str]:
    """What is wrong with the environment, one sentence per variable; values are not shown, for some are secrets."""
    if isinstance(error, ValidationError):
        for problem in error.errors(include_input=False, include_url=False):
            first, *rest = (str(part) for part in problem["loc"] or ("",))
            where = ".".join([f"{PREFIX}{first.upper()}", *rest]) if first else ""
            yield f"{where + ': ' if where else ''}{problem['msg'].removeprefix('Value error, ')}"
    elif (found := _FIELD.search(str(error))) is not None:
        where = f"{PREFIX}{found[1].upper()}"
        yield f'{where}: lists and objects are written as JSON, such as \'["a", "b"]\' ({error.__cause__})'
    else:
        yield str(error)
