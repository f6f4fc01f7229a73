"""/v1/methods"""

from fastapi import APIRouter, Response

from app.http.auth import GUARDED
from app.http.problems import describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from influence.contracts.common import Page
from influence.contracts.method import MethodDescription
from influence.methods.registry import describe_methods

router = APIRouter(prefix="/v1/methods", tags=["queries"], route_class=StrictRoute, dependencies=GUARDED)


@router.get("", response_model=Page[MethodDescription], summary="List methods", responses=describe_errors())
def list_methods() -> Response:
    """What a query can name as `method`; baselines are marked, for they are no influence."""
    return json_response(Page[MethodDescription](data=describe_methods(), has_more=False))
