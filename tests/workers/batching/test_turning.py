"""Positions that turn by the length of a sequence: a row of a batch as it is alone, whatever came before."""

from typing import Any

import pytest
import torch
import transformers as hf
from support.gradients.tiny_models import VOCABULARY
from torch import Tensor

from influence.checkpoint_files.adapters.trained_on import find_position_doubts
from workers.batching.turning import turn_row_by_row

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LENGTHS = (5, 12, 20, 7)


def make_longrope() -> Any:
    scaling = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [8.0, 4.0, 3.0, 2.0]}
    limits = {"max_position_embeddings": 64, "original_max_position_embeddings": 8}
    return hf.Phi3ForCausalLM(hf.Phi3Config(**SIZES, **limits, rope_scaling=scaling))


def make_scaled_longrope() -> Any:
    """A model that also scales by the length itself."""
    scaling = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [8.0, 4.0, 3.0, 2.0]}
    scales = {"short_mscale": 1.0, "long_mscale": 1.3, "original_max_position_embeddings": 8}
    limits = {"max_position_embeddings": 64, "original_max_position_embeddings": 8}
    config = hf.PhimoeConfig(**SIZES, **limits, num_local_experts=2, rope_scaling={**scaling, **scales})
    return hf.PhimoeForCausalLM(config)


def make_dynamic() -> Any:
    scaling = {"rope_type": "dynamic", "factor": 4.0}
    return hf.LlamaForCausalLM(hf.LlamaConfig(**SIZES, max_position_embeddings=8, rope_scaling=scaling))


def ask(model: Any, *rows: Tensor) -> list[Tensor]:
    """Logits of each row's own tokens, from one batch."""
    width = max(map(len, rows))
    ids = torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])
    mask = torch.stack([(torch.arange(width) < len(row)).long() for row in rows])
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
    return [logits[place, : len(row)] for place, row in enumerate(rows)]


@pytest.mark.parametrize("make", [make_longrope, make_scaled_longrope, make_dynamic])
def test_rows_of_a_batch_turn_as_they_do_alone(make: Any) -> None:
    torch.manual_seed(0)
    model = make().eval()
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.2)
    rows = [torch.randint(3, VOCABULARY, (length,)) for length in LENGTHS]
    # What transformers gives a model that has seen nothing longer.
    first = ask(model, rows[0])[0]
    turn_row_by_row(model)
    alone = [ask(model, row)[0] for row in rows]
    torch.testing.assert_close(alone[0], first)
    for batch in ([0, 1, 2, 3], [2, 0], [1, 2], [3, 0]):
        for place, found in zip(batch, ask(model, *(rows[one] for one in batch)), strict=True):
            torch.testing.assert_close(found, alone[place], rtol=1e-4, atol=1e-5)
    inner = model.model(input_ids=rows[0][None]).last_hidden_state
    torch.testing.assert_close(model.lm_head(inner)[0], first, rtol=1e-4, atol=1e-5)


def test_a_model_of_such_positions_is_told_of() -> None:
    old, new = {"rope_scaling": {"type": "longrope"}}, {"rope_parameters": {"full": {"rope_type": "dynamic"}}}
    for config in (old, new, {"text_config": old}):
        assert "each row by its own length" in "".join(find_position_doubts(config))
    assert not list(find_position_doubts({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}))
