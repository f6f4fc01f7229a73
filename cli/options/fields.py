"""Options made from the fields of a contract: name, type, help and default are said once, in the contract."""

import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from influence.contracts.common import Json
from influence.errors import InvalidRequest

#: Takes what was written and the option's name for errors; raises InvalidRequest.
Read = Callable[[Any, str], Any]
_KEYWORD = Parameter.KEYWORD_ONLY


@dataclass(frozen=True)
class Spelling:
    """How a field is written where name and type do not say it.

    `flags` stand in place of `--its-name`; `read` turns what was written into the field's value; an option of `items`
    may be given again, once per item of that type; `help` is for what only the command line knows, `default` for what
    the command sends where the option is left out.
    """

    flags: tuple[str, ...] = ()
    read: Read | None = None
    items: type | None = None
    help: str = ""
    default: str = ""


@dataclass(frozen=True)
class FieldOption:
    """One field of the contracts `owners` as an option; left out it is not sent, so that the contract's default holds.

    `kinds` names the owners where others have no such field.
    """

    name: str
    owners: Sequence[type[BaseModel]]
    spelling: Spelling
    kinds: str = ""

    @property
    def flag(self) -> str:
        return (self.spelling.flags or (f"--{self.name.replace('_', '-')}",))[0]

    @property
    def field(self) -> FieldInfo:
        return self.owners[0].model_fields[self.name]

    def parameter(self) -> Parameter:
        """As a keyword parameter that typer understands."""
        kind = _bare(self.field.annotation)
        flags = self.spelling.flags or (self.flag,)
        option = typer.Option(*flags, help=self._help(), metavar=_choices(kind) if self._is_plain else None)
        return Parameter(self.name, _KEYWORD, default=None, annotation=Annotated[self._type(kind) | None, option])

    @property
    def _is_plain(self) -> bool:
        return self.spelling.read is None and self.spelling.items is None

    def _type(self, kind: Any) -> Any:
        if self.spelling.items is not None:
            return types.GenericAlias(list, (self.spelling.items,))
        return kind if self._is_plain and kind in (bool, int, float) else str

    def _help(self) -> str:
        defaults = {_write(owner.model_fields[self.name].default) for owner in self.owners}
        default = self.spelling.default or (defaults.pop() if len(defaults) == 1 else "")
        shown = f"[default: {default}]" if default else ""
        return " ".join(part for part in (self.kinds, self.field.description, self.spelling.help, shown) if part)

    def read(self, written: Any) -> Any:
        """The field's value. Raises InvalidRequest."""
        return written if self.spelling.read is None else self.spelling.read(written, self.flag)


@dataclass(frozen=True)
class Options:
    """Parameters that are added to a command, and how they become part of a request."""

    parameters: tuple[Parameter, ...]
    read: Callable[[Json], Json]


def options_of(
    *models: type[BaseModel],
    leave_out: Collection[str] = (),
    only: Collection[str] | None = None,
    within: str | None = None,
    spelled: Mapping[str, Spelling] | None = None,
) -> Options:
    """Options for the fields of a contract, or of several of which one is meant: help then names those that have it.

    With `only` no other field is taken; with `within` they make up the object of that name.
    """
    owners_of: dict[str, list[type[BaseModel]]] = {}
    for model in models:
        for name in model.model_fields:
            if name not in leave_out and (only is None or name in only):
                owners_of.setdefault(name, []).append(model)
    options = [_option(name, owners, len(models), spelled or {}) for name, owners in owners_of.items()]

    def read(written: Json) -> Json:
        values = {
            option.name: option.read(value) for option in options if (value := written[option.name]) not in (None, [])
        }
        return values if within is None else {within: values} if values else {}

    return Options(tuple(option.parameter() for option in options), read)


def _option(
    name: str, owners: Sequence[type[BaseModel]], all_models: int, spelled: Mapping[str, Spelling]
) -> FieldOption:
    kinds = [get_args(owner.model_fields["kind"].annotation)[0] for owner in owners if len(owners) < all_models]
    return FieldOption(name, owners, spelled.get(name, Spelling()), f"{', '.join(kinds)}:" if kinds else "")


def _bare(annotation: Any) -> Any:
    """`int | None` -> int, with bounds or without; anything with more to it stays as it is."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _bare(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def _choices(kind: Any) -> str | None:
    return "|".join(map(str, get_args(kind))) if get_origin(kind) is Literal else None


def _write(default: Any) -> str:
    """A default as it would be written; nothing for none, and for a flag that is off."""
    if default is None or default is PydanticUndefined or default is False:
        return ""
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def check_body(model: type[BaseModel], body: Json, command: str) -> Json:
    """The body, once it fits its contract. Raises InvalidRequest with the first field that does not."""
    try:
        model.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(
            f"{where + ': ' if where else ''}{message}.", hint=f"See datainf {command} --help."
        ) from error
    return body
