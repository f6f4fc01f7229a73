"""Can the scores of a query be told apart by token? All that can be told before any model is loaded."""

from typing import Any

from app.checks.test_points import count_test_points
from influence.contracts.index import Index
from influence.contracts.query import QueryRequest
from influence.contracts.tasks import TASKS
from influence.errors import InvalidRequest
from influence.methods.base import Method, require_linear
from influence.methods.baselines import Baseline
from influence.store.store import Store

#: Rows that are shown by token, all test points and rankings together.
MAX_ROWS = 400


def check_tokens(store: Store, index: Index, request: QueryRequest, method: Method[Any] | Baseline) -> None:
    """Raise InvalidRequest or MethodNotOffered where 'tokens' is asked for and nobody could tell them."""
    if "tokens" not in request.include:
        return
    if isinstance(method, Baseline):
        raise _refuse(f"A score by baseline '{method.name}' is no sum over tokens.")
    require_linear(method)
    task = TASKS[store.checkpoints.require(index.spec.checkpoint_id).task]
    if not task.splits_by_token:
        raise _refuse(f"Scores of task '{task.name}' cannot be told apart by token.")
    if request.tokens_by == "loss" and task.answers != "text":
        raise _refuse(
            f"Rows of task '{task.name}' have one loss, on their label, and no loss of a token.",
            hint="Send 'tokens_by' \"position\".",
        )
    if request.tokens_by == "position" and (slow := [block.name for block in index.blocks if block.path == "slow"]):
        raise _refuse(
            f"The gradients of '{slow[0]}' are taken row by row, so no position of a row has a part.",
            hint="Leave 'tokens' out of 'include', or send 'tokens_by' \"loss\" for rows of a language model.",
            blocks=slow[:20],
        )
    if request.exact is False and index.spec.storage == "compact":
        raise _refuse("'tokens' are parts of exact scores, and 'exact' is false.", hint="Send exact true.")
    points = 1 if request.aggregate == "mean" else count_test_points(store, request)
    rows = points * request.k * (2 if request.order == "both" else 1)
    if rows > MAX_ROWS:
        raise _refuse(
            f"'tokens' of {rows:,} rows are asked for; at most {MAX_ROWS} are taken.",
            hint="Ask for fewer test points, a smaller k, or one direction.",
            rows=rows,
        )


def _refuse(detail: str, *, hint: str = "Leave 'tokens' out of 'include'.", **extra: Any) -> InvalidRequest:
    return InvalidRequest(detail, hint=hint, extra={"field": "include", **extra})
