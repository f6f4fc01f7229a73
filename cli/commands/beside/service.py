"""The service that the settings name, reached without its API."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from influence.errors import InvalidRequest

if TYPE_CHECKING:
    from influence.settings import StorageSettings
    from influence.store.connections import Connections
    from influence.store.data.files import Files


@dataclass(frozen=True)
class Service:
    """Settings of a service, and clients of its Redis."""

    settings: "StorageSettings"
    connections: "Connections"

    def open_files(self) -> "Files":
        """Its files."""
        from influence.store.data.files import open_files

        return open_files(self.settings)


@contextmanager
def opened_service() -> Iterator[Service]:
    """The service that the environment names; without DATAINF_REDIS_URL the one that `datainf serve` runs.

    Raises InvalidRequest for settings that are wrong, StoreUnavailable where its Redis does not answer.
    """
    # Loaded here: it takes longer than every other command may take to start.
    from pydantic import ValidationError

    from influence.errors import StoreUnavailable
    from influence.settings import StorageSettings, describe_problems
    from influence.store.connections import PROMPT, StoreError, check_servers, connect
    from influence.store.embedded import EmbeddedServer

    try:
        settings = StorageSettings()
    except ValidationError as error:
        raise InvalidRequest("; ".join(describe_problems(error))) from error
    own = EmbeddedServer(settings.data_dir / "redis")
    is_embedded = "redis_url" not in settings.model_fields_set and own.is_there
    connections = connect(own.url if is_embedded else settings.redis_url, deadlines=PROMPT)
    try:
        check_servers(connections)
        yield Service(settings, connections)
    except StoreError as error:
        raise StoreUnavailable(
            f"The Redis server does not answer: {error}.",
            hint="Start the service, or set DATAINF_REDIS_URL and DATAINF_DATA_DIR to those that it uses.",
        ) from error
    finally:
        connections.close()
