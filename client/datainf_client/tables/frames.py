"""Answers as pandas frames. pandas is an extra: it is loaded only here."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from datainf_client.generated.models import Query

if TYPE_CHECKING:
    import pandas as pd

_RANKINGS = ("helpful", "harmful", "absolute")


def make_frame(records: Iterable[Mapping[str, Any]], columns: Iterable[str] = ()) -> "pd.DataFrame":
    """A frame of records; `columns` are there even without any. Raises ImportError without pandas."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("Frames need pandas: pip install 'datainf-client[pandas]'.") from error
    found = list(records)
    return pd.DataFrame(found) if found else pd.DataFrame(columns=list(columns))


def query_records(query: Query) -> Iterable[dict[str, Any]]:
    """One record per ranked row: test point and ranking, its figures, `row_*` and `metadata_*` for what it holds."""
    for number, result in enumerate(query.results or ()):
        for ranking in _RANKINGS:
            for ranked in getattr(result, ranking):
                figures = ranked.model_dump(mode="json", exclude={"row", "metadata", "blocks", "tokens"})
                yield {"test_point": number, "ranking": ranking, **flat(figures, ranked.row, ranked.metadata)}


def flat(figures: Mapping[str, Any], row: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """A record of figures with what the row holds beside them."""
    words = {f"row_{name}": value for name, value in row.items()}
    beside = {f"metadata_{name}": value for name, value in (metadata or {}).items()}
    return {**figures, **words, **beside}
