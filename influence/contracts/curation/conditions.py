"""Which rows somebody asks for: one language wherever rows are listed, decided about, handed over or left out."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from influence.contracts.common import Request

Operator = Literal["eq", "ne", "in", "gt", "lt", "contains", "is_null"]
MAX_CONDITIONS = 20
MAX_VALUES = 1000
MAX_TEXT_CHARACTERS = 1000
#: Said before a column's name, where a metadata column has the name of a field of the rows.
METADATA_PREFIX = "metadata."

_Text = Annotated[StrictStr, Field(max_length=MAX_TEXT_CHARACTERS)]
_Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Scalar = StrictBool | StrictInt | _Number | _Text
SearchText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]


class Condition(Request):
    """What has to hold of a column.

    `ne` also holds of rows without a value. `in` takes a list, `contains` a text, whatever its case. `is_null` takes
    true (the default: the row has no value) or false. `gt` and `lt` are of numbers, times and texts.
    """

    column: str = Field(
        min_length=1,
        max_length=300,
        description="A metadata column, 'label' or 'row_id'; of an audit also its figures, of a review also 'action'. "
        "'metadata.NAME' where a metadata column has such a name.",
    )
    op: Operator
    value: Scalar | tuple[Scalar, ...] | None = None

    @model_validator(mode="after")
    def _value_fits(self) -> "Condition":
        if self.op == "in":
            if not isinstance(self.value, tuple) or not 0 < len(self.value) <= MAX_VALUES:
                raise ValueError(f"'in' takes a list of 1 to {MAX_VALUES} values")
        elif isinstance(self.value, tuple):
            raise ValueError(f"'{self.op}' takes one value; 'in' takes a list")
        elif self.op == "is_null":
            if self.value is not None and not isinstance(self.value, bool):
                raise ValueError("'is_null' takes true or false")
        elif self.value is None:
            raise ValueError(f"'{self.op}' needs a value; 'is_null' asks for rows without one")
        elif self.op == "contains" and not isinstance(self.value, str):
            raise ValueError("'contains' takes a text")
        return self


Where = Annotated[tuple[Condition, ...], Field(min_length=1, max_length=MAX_CONDITIONS)]


class RowSearch(Request):
    """Rows of which all conditions hold, and whose text has all words of `q`, whatever their case; a part of a word
    counts, and "words in quotes" have to stand together."""

    where: Where | None = Field(None, description="Conditions that all have to hold.")
    q: SearchText | None = Field(None, description="Words that the row's text has, in any order.")

    @property
    def asks(self) -> bool:
        """Whether anything is asked of a row."""
        return self.where is not None or self.q is not None
