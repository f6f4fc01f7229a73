"""Groups of training rows, and what leaving rows out is predicted to do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Unpack

from datainf_client.generated import models, settings
from datainf_client.resources.base import Work
from datainf_client.sources.ids import Named, id_of
from datainf_client.tables.frames import make_frame

if TYPE_CHECKING:
    import pandas as pd


class Groups(models.Groups, Work):
    """Training rows taken together, the most helpful group first."""

    collection: ClassVar[str] = "groups"

    def to_pandas(self) -> "pd.DataFrame":
        """A line per group, waited for; the rows that it names are left out."""
        groups = self.wait().groups or []
        return make_frame(group.model_dump(exclude={"best", "worst", "by_class"}) for group in groups)

    def what_if(
        self,
        *,
        row_indexes: Sequence[int] | None = None,
        lowest_percent: float | None = None,
        group: str | None = None,
        review: Named | None = None,
        **given: Unpack[settings.WhatIfRequest],
    ) -> models.WhatIf:
        """What leaving rows out is predicted to do: these, the lowest, a group, or those that a review removes.

        With `verify` models are trained again without them; `evaluation_id` of the answer is the evaluation that does.
        """
        remove = {
            "row_indexes": None if row_indexes is None else [int(row) for row in row_indexes],
            "lowest": None if lowest_percent is None else {"percent": lowest_percent},
            "group": group,
            "review_id": None if review is None else id_of(review),
        }
        body = {"remove": {name: value for name, value in remove.items() if value is not None}, **given}
        answer = self.wait()._session.submit(f"{self.path}/what-if", body)
        return models.WhatIf.model_validate(answer)
