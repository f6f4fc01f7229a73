"""Where weights lie: spread over GPUs where that is asked for, never half of them elsewhere."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import make_causal
from transformers import AutoModelForCausalLM

from influence.errors import UnsupportedModule
from workers.loading.options import LoadOptions
from workers.loading.placement import describe_placement, is_placed, refuse_offloaded

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def test_a_map_is_for_gpus_alone() -> None:
    def describe(device: torch.device, **options: Any) -> dict[str, Any]:
        return describe_placement(LoadOptions(Path("unused"), device, **options))

    assert describe(GPU, device_map="balanced") == {"device_map": "balanced"}
    assert describe(GPU, device_map="auto", load_in_bits=4) == {"device_map": "auto"}
    assert describe(GPU, load_in_bits=8) == {"device_map": {"": GPU}}
    assert describe(CPU, device_map="auto") == {}


def test_a_layer_on_disk_is_refused_by_name(tmp_path: Path) -> None:
    base = make_causal(tmp_path).base
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    model = AutoModelForCausalLM.from_pretrained(
        base,
        device_map={**places, "model.layers.1": "disk", "model.rotary_emb": "cpu"},
        offload_folder=tmp_path / "offload",
    )
    with pytest.raises(UnsupportedModule, match=r"model\.layers\.1 would stay in the host's") as refused:
        refuse_offloaded(model, CPU)
    assert refused.value.extra == {"modules": ["model.layers.1"]}
    assert "more GPUs" in refused.value.hint


def spread(places: dict[str, object]) -> torch.nn.Module:
    model = torch.nn.Linear(1, 1)
    model.hf_device_map = places  # type: ignore[assignment]
    return model


def test_what_found_no_room_on_a_gpu_is_refused() -> None:
    for place in ("cpu", "disk", CPU):
        with pytest.raises(UnsupportedModule, match=r"layers\.7 would stay"):
            refuse_offloaded(spread({"layers.6": 0, "layers.7": place}), GPU)


def test_several_gpus_are_fine() -> None:
    model = spread({"layers.6": 0, "layers.7": 1, "head": "cuda:1", "norm": torch.device("cuda", 2)})
    refuse_offloaded(model, GPU)
    assert is_placed(model)
    assert not is_placed(torch.nn.Linear(1, 1))


def test_weights_that_were_never_loaded_are_refused() -> None:
    with pytest.raises(UnsupportedModule, match="weight"):
        refuse_offloaded(torch.nn.Linear(1, 1, device="meta"), CPU)
