"""What all contracts share: frozen models, strict requests, times, pages."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Json = dict[str, Any]
Item = TypeVar("Item")

#: The most tokens that a row is read for.
MAX_ROW_TOKENS = 1 << 20
MaxLength = Annotated[int, Field(ge=1, le=MAX_ROW_TOKENS)]

#: Of whoever has no other: callers without a key, and with a key of DATAINF_API_KEYS.
DEFAULT_NAMESPACE = "default"
#: Context in which a record is written as callers see it, not as it is kept.
FOR_CALLERS: Json = {"for": "callers"}


class Frozen(BaseModel):
    """A record: immutable once made."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Record(Frozen):
    """What is kept under an id. `namespace` is whose it is: keys of another one do not see it."""

    id: str
    created_at: datetime
    namespace: str = DEFAULT_NAMESPACE


class Request(BaseModel):
    """A request body: immutable, and a field we do not know is refused rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @model_validator(mode="after")
    def _whole_numbers_of_64_bits(self) -> Self:
        """Neither arrays nor Redis hold larger ones. JSON's own are looked at as they are parsed; text read as a
        number, in a body or in a query string, comes by here."""
        for name in self.model_fields_set:
            value = getattr(self, name)
            numbers = value if isinstance(value, list | tuple) else (value,)
            if any(isinstance(number, int) and not -(1 << 63) <= number < 1 << 63 for number in numbers):
                raise ValueError(f"'{name}' holds too large a whole number")
        return self


MAX_NAME_CHARACTERS = 200


class Named(Request):
    """A request that may name what it makes. The name is no part of what is made: where equal requests make one thing,
    it has the later name."""

    name: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        description="What lists call it; changed by PATCH at any time.",
    )


#: Below this solves lose all digits: the largest eigenvalue is up to d / scale times the damping.
MIN_DAMPING_SCALE = 1e-9
DampingScale = Annotated[float, Field(ge=MIN_DAMPING_SCALE, le=1e6, allow_inf_nan=False)]


class NameChange(Request):
    """`PATCH` of a resource that has a name; null takes it away."""

    name: str | None = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)


class Page(Frozen, Generic[Item]):
    """One page of a list; pass `next` back as `after` for the following page."""

    data: list[Item]
    has_more: bool
    next: str | None = None


LossScope = Literal["completion", "assistant", "all", "first", "inside"]
#: How the losses of a row's tokens make the row's loss.
Reduction = Literal["mean", "sum"]


def now() -> datetime:
    """The present moment in UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _without_repeats(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a number stands here twice")
    return values


Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=1 << 31)], ...], AfterValidator(_without_repeats)]
#: Rows of a data set by their places, none of them twice.
RowIndexes = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=1_000_000), AfterValidator(_without_repeats)
]
Numbers = Annotated[tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...], AfterValidator(_without_repeats)]
