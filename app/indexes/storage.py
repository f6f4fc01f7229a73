"""What an index keeps of its rows where a request leaves it open: every gradient, or codes."""

from influence.compact.admission import Rates, estimate_compact
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.index import IndexRequest, Storage
from influence.errors import DoesNotFit, InvalidRequest

_ITEM_BYTES = {"float32": 4, "float16": 2}
#: From so many bytes per row on, half of what Stable Diffusion 1.5 has at rank 2, image models' rows are kept as codes.
_LARGE_ROW_BYTES = 800_000


def choose_storage(request: IndexRequest, checkpoint: Checkpoint, dataset: Dataset, budget_bytes: int) -> Storage:
    """Full while the gradients fit the budget, of image models only while those of a row are small.

    Raises DoesNotFit when full is asked for and does not, or where codes with their basis would take no less.
    """
    if request.grow_from is not None:
        return _choose_grown(request)
    if request.storage == "compact":
        return "compact"
    parameters = checkpoint.lora_parameters if request.parts == "lora" else checkpoint.parameters
    if parameters is None:  # only the worker that loads the model can tell, and refuses what does not fit
        return "full" if request.storage == "full" else "compact"
    needed = dataset.rows * parameters * _ITEM_BYTES[request.storage_dtype]
    codes = _estimate_codes(request, checkpoint, dataset.rows, parameters)
    if request.storage == "auto" and codes < needed and _is_of_large_rows(checkpoint, parameters):
        return "compact"
    if needed <= budget_bytes:
        return "full"
    if request.storage == "auto" and codes < needed:
        return "compact"
    raise DoesNotFit(
        f"Full gradients of {dataset.rows:,} rows with {parameters:,} parameters take {needed:,} bytes, "
        f"more than the {budget_bytes:,} that an index may take.",
        hint=_hint_of_size(request, checkpoint, is_smaller=codes < needed),
        extra={
            "needed_bytes": needed,
            "compact_bytes": codes,
            "budget_bytes": budget_bytes,
            "rows": dataset.rows,
            "parameters": parameters,
        },
    )


def _is_of_large_rows(checkpoint: Checkpoint, parameters: int) -> bool:
    """Whether a row of an image model is better kept as a code: all of Stable Diffusion's LoRA are, at any rank."""
    return checkpoint.pipeline is not None and 4 * parameters >= _LARGE_ROW_BYTES


def _estimate_codes(request: IndexRequest, checkpoint: Checkpoint, rows: int, parameters: int) -> int:
    """Bytes of codes with their basis, which few rows do not pay for; as if all tensors were of one size."""
    blocks = max(checkpoint.tensors or 1, 1)
    estimate = estimate_compact(
        rows,
        [max(parameters // blocks, 1)] * blocks,
        request.rank,
        Rates(rows_per_second=1.0),
        dtype=request.code_dtype,
        has_roots=request.metric == "optimizer",
    )
    return estimate.redis_bytes


def _hint_of_size(request: IndexRequest, checkpoint: Checkpoint, *, is_smaller: bool) -> str:
    wholes = (checkpoint.parameters or 0) - (checkpoint.lora_parameters or checkpoint.parameters or 0)
    ways = ["use storage 'compact'"] if is_smaller else []
    if wholes and request.parts == "all":
        ways.append(f"leave the {wholes:,} parameters in whole tensors out with parts 'lora'")
    hint = f"{', '.join([*ways, 'or raise the budget' if ways else 'raise the budget'])}."
    why = "" if is_smaller else " Codes of so few rows take as much with their basis."
    return hint[0].upper() + hint[1:] + why


def _choose_grown(request: IndexRequest) -> Storage:
    if request.storage == "full":
        raise InvalidRequest(
            "Only compact indexes grow: full storage has no basis to keep.",
            hint="Leave 'storage' out, or build the index without 'grow_from'.",
        )
    return "compact"
