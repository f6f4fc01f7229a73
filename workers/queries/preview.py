"""What rows look like to the model: text, tokens, and which of them carry loss."""

from influence.contracts.index import DEFAULT_MAX_LENGTH, GradientSettings
from influence.contracts.preview import DEFAULT_PREVIEW_ROWS, Preview, PreviewRow
from influence.rows.images.content import inline_image
from influence.store.work import finish
from workers.runtime.open import open_checkpoint, open_rows
from workers.runtime.state import Runtime


def preview_rows(runtime: Runtime, preview: Preview) -> None:
    """Render the rows of a preview as its checkpoint's task reads them. Safe to run twice."""
    request = preview.request
    settings = GradientSettings(
        precision=request.precision,
        max_length=request.max_length or DEFAULT_MAX_LENGTH,
        on_too_long=request.on_too_long,
        loss=request.loss,
        reduction=request.reduction,
    )
    model = open_checkpoint(runtime, preview.checkpoint_id, settings)
    file = open_rows(runtime, preview.dataset_id, model)
    first = range(request.offset, min(request.offset + DEFAULT_PREVIEW_ROWS, len(file)))
    indexes = list(first) if request.row_indexes is None else request.row_indexes
    shown = []
    for row_index, row in zip(indexes, file.read_many(indexes), strict=True):
        view = model.task.render(row)
        shown.append(
            PreviewRow(
                row_index=row_index,
                row_id=str(row["id"]),
                rendered=view.text,
                tokens=tuple(view.tokens),
                supervised=tuple(view.supervised),
                supervised_tokens=sum(view.supervised),
                truncated=view.truncated,
                image=None if view.image is None else inline_image(view.image),
            )
        )
    finish(runtime.store, preview, lambda current: current.model_copy(update={"rows": tuple(shown)}))
