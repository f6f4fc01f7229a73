"""Real processes and a real HTTP server for the command line's tests."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from support.processes.contract_server import ContractServer, running
from support.processes.terminal import Call
from typer.main import get_command
from typer.testing import CliRunner, Result

from cli.main import app


@pytest.fixture(autouse=True, scope="session")
def commands_made_once() -> Iterator[None]:
    """The commands are the same all along, and to make them takes longer than most of what is asked of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command))
        yield


@pytest.fixture(scope="module")
def shared_service() -> Iterator[ContractServer]:
    with running() as served:
        yield served


@pytest.fixture
def service(shared_service: ContractServer) -> ContractServer:
    """The server as if it had just started."""
    vars(shared_service).update(vars(ContractServer(url=shared_service.url)))
    return shared_service


@pytest.fixture
def call(service: ContractServer) -> Call:
    """The command line, told where the server is."""

    def invoke(*arguments: object, input: str | None = None) -> Result:
        environment = {"DATAINF_URL": service.url, "COLUMNS": "160", "DATAINF_API_KEY": None}
        return CliRunner().invoke(app, [str(part) for part in arguments], env=environment, input=input)

    return invoke


@pytest.fixture
def processes_of() -> Callable[[Path], list[int]]:
    """Ids of living processes that have a folder in their command line or environment."""

    def find(folder: Path) -> list[int]:
        wanted = str(folder).encode()
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _names(entry, wanted)]

    return find


def _names(entry: Path, wanted: bytes) -> bool:
    try:
        if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        return wanted in (entry / "cmdline").read_bytes() or wanted in (entry / "environ").read_bytes()
    except (OSError, IndexError):
        return False
