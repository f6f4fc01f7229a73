"""Rows of image models are large: they are kept as codes where nobody asks for more."""

import pytest

from app.indexes.storage import choose_storage
from influence.contracts.checkpoint import BaseModelRef, Checkpoint, PipelineRecord
from influence.contracts.common import now
from influence.contracts.dataset import Dataset
from influence.contracts.index import IndexRequest

#: Of the attention of Stable Diffusion 1.5 at rank 2.
SD_PARAMETERS, SD_TENSORS = 398_592, 256
BUDGET = 4 << 30


def choose(rows: int, parameters: int, *, has_pipeline: bool = True, storage: str = "auto") -> str:
    pipeline = PipelineRecord(prediction="epsilon", train_timesteps=1000, resolution=512, works_on="latents")
    checkpoint = Checkpoint(
        id="ckpt_a",
        base_model=BaseModelRef(name="a", kind="path", location="/a"),
        task="text_to_image",
        adapter={},
        adapter_digest="a",
        parameters=parameters,
        lora_parameters=parameters,
        tensors=SD_TENSORS,
        pipeline=pipeline if has_pipeline else None,
        created_at=now(),
    )
    dataset = Dataset(id="ds_a", kind="image_caption", columns={}, rows=rows, bytes=1, statistics={}, created_at=now())
    request = IndexRequest.model_validate({"checkpoint_id": "ckpt_a", "dataset_id": "ds_a", "storage": storage})
    return choose_storage(request, checkpoint, dataset, BUDGET)


@pytest.mark.parametrize(("parameters", "kept"), [(SD_PARAMETERS, "compact"), (20_000, "full")])
def test_large_rows_are_kept_as_codes(parameters: int, kept: str) -> None:
    assert choose(2000, parameters) == kept


def test_whole_gradients_are_kept_for_whoever_asks_and_for_text() -> None:
    assert choose(2000, SD_PARAMETERS, storage="full") == "full"
    assert choose(2000, SD_PARAMETERS, has_pipeline=False) == "full"
