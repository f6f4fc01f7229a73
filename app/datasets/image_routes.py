"""/v1/datasets/{id}/rows/{i}/image"""

import io
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from PIL import Image

from app.http.context import Context, Ctx
from app.http.problems import describe_errors
from app.http.strict_json import StrictRoute
from influence.contracts.dataset import ROW_FORMS
from influence.errors import InvalidRequest, NotFound
from influence.rows.file import RowFile
from influence.rows.images.limits import CONVERTED_BYTES
from influence.rows.images.sources import shared_budget

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute)

MEDIA_TYPE = "image/webp"
_QUALITY = 85
#: Pixels of a thumbnail's longer side.
LEAST, USUAL, MOST = 16, 256, 1024
Size = Annotated[int, Query(ge=LEAST, le=MOST, description="Most pixels of the longer side; it is never enlarged.")]
Known = Annotated[str | None, Header(alias="If-None-Match", description="ETags that the caller has.")]


@router.get(
    "/{dataset_id}/rows/{row_index}/image",
    response_class=Response,
    summary="See the image of a row",
    responses={
        200: {"description": "WebP.", "content": {MEDIA_TYPE: {"schema": {"format": "binary"}}}},
        304: {"description": "The caller has it: `If-None-Match` names its ETag."},
        **describe_errors(NotFound, InvalidRequest),
    },
)
def read_image(
    dataset_id: str, row_index: int, context: Ctx, size: Size = USUAL, if_none_match: Known = None
) -> Response:
    """Scaled down and encoded anew: what was sent is never handed out."""
    image = _find_image(context, dataset_id, row_index)
    headers = {"ETag": f'"{image["digest"][:32]}-{size}"', "Cache-Control": "private, no-cache"}
    if headers["ETag"] in (if_none_match or ""):
        return Response(status_code=304, headers=headers)
    return Response(_thumbnail(context, image, size), media_type=MEDIA_TYPE, headers=headers)


def _find_image(context: Context, dataset_id: str, row_index: int) -> dict[str, Any]:
    """The field `image` of a row. Raises NotFound."""
    dataset = context.store.datasets.require(dataset_id)
    if not ROW_FORMS[dataset.kind].has_image:
        raise NotFound(
            f"The rows of {dataset_id} are of kind '{dataset.kind}' and have no images.",
            hint=f"Read them at /v1/datasets/{dataset_id}/rows.",
        )
    with RowFile(context.files.dataset(dataset_id)) as file:
        (row,) = file.read_many([row_index])
    found: dict[str, Any] = row["image"]
    return found


def _thumbnail(context: Context, image: dict[str, Any], size: int) -> bytes:
    content = io.BytesIO()
    with shared_budget(context.settings.image_limits).held(image["width"] * image["height"] * CONVERTED_BYTES):
        opened = context.files.images.open(image)
        opened.thumbnail((size, size), Image.Resampling.LANCZOS)
        opened.save(content, "WEBP", quality=_QUALITY)
    return content.getvalue()
