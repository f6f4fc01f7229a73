"""Bodies of the two routes that take a form with a file as well as JSON."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.http.problems import translate_validation
from app.http.strict_json import parse_json, require_json_type
from influence.errors import InvalidRequest

Model = TypeVar("Model", bound=BaseModel)


async def read_json(request: Request, model: type[Model]) -> Model:
    """The JSON body as a model. Raises UnsupportedFormat and InvalidRequest."""
    require_json_type(request)
    body = await request.body()
    if not body:
        raise InvalidRequest("The body is empty.", hint="Send JSON, or a multipart form with the file.")
    return validate(model, parse_json(body))


def read_fields(model: type[Model], fields: Mapping[str, str], *, json_fields: Collection[str]) -> Model:
    """A form's fields as a model; empty ones count as left out, `json_fields` hold JSON. Raises InvalidRequest."""
    values: dict[str, Any] = {name: text for name, text in fields.items() if text.strip()}
    for name in json_fields & values.keys():
        try:
            values[name] = parse_json(values[name])
        except InvalidRequest as error:
            raise InvalidRequest(f"The field '{name}' is not JSON: {error.detail}", hint=error.hint) from error
    return validate(model, values)


def validate(model: type[Model], value: Any) -> Model:
    """Raises InvalidRequest with every field that does not fit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise translate_validation(error.errors(include_url=False, include_input=False)) from error


def describe_body(
    json_model: type[BaseModel], form_model: type[BaseModel], file_field: str, about: str, *, needs_file: bool = True
) -> Any:
    """OpenAPI description of a body that is a form or JSON."""
    form = form_model.model_json_schema()
    form["properties"] = {
        file_field: {"type": "string", "format": "binary", "description": about},
        **form.get("properties", {}),
    }
    form["required"] = [*([file_field] if needs_file else []), *form.get("required", [])]
    schemas = {"multipart/form-data": form, "application/json": json_model.model_json_schema()}
    return {"requestBody": {"required": True, "content": {name: {"schema": found} for name, found in schemas.items()}}}
