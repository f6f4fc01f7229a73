"""Handlers take what they read, and routes ask for a key by themselves, whatever stands before them."""

import ast
import inspect
import textwrap
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from app.main import RESOURCES
from app.ui import docs
from app.ui import routes as page

ROUTERS = [*(router for _, routers in RESOURCES.values() for router in routers), docs.router, page.router]
HANDLERS = [route.endpoint for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def unread_parameters(function: Any) -> set[str]:
    """Parameters that the body of a function does not read."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    nodes = [node for statement in definition.body for node in ast.walk(statement)]
    return set(inspect.signature(function).parameters) - {node.id for node in nodes if isinstance(node, ast.Name)}


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: f"{handler.__module__}.{handler.__name__}")
def test_no_handler_takes_a_parameter_that_it_does_not_read(handler: Any) -> None:
    assert unread_parameters(handler) == set()


def test_a_parameter_that_is_not_read_is_found() -> None:
    def handler(read: int, unread: int) -> int:
        return read

    assert unread_parameters(handler) == {"unread"}


def test_every_route_but_the_probes_asks_for_a_key_by_itself(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    free = {path for path, calls in paths.items() for call in calls.values() if not call.get("security")}
    assert free == {"/health/live", "/health/ready"}
