"""Tokens were added, the vocabulary resized, and the embeddings saved with the adapter."""

import torch
from peft import PeftModel
from support.uploads.cases import LLAMA, case_folder
from support.uploads.local_service import LocalService
from transformers import AutoModelForCausalLM

from workers.runtime.open import open_model


def test_the_base_is_resized_and_the_adapters_tokenizer_used(service: LocalService) -> None:
    case = case_folder("10-resized-vocabulary")
    checkpoint = service.checkpoint(LLAMA, case / "adapter")
    assert (checkpoint["vocabulary"], checkpoint["tokenizer"]["vocabulary"]) == (261, 261)
    index = service.index(checkpoint, service.dataset(case / "rows.jsonl"), storage="full")
    assert {block["name"] for block in index["blocks"] if "lora" not in block["name"]} == {
        "model.embed_tokens.weight",
        "lm_head.weight",
    }
    resized = AutoModelForCausalLM.from_pretrained(LLAMA)
    resized.resize_token_embeddings(261)
    expected = PeftModel.from_pretrained(resized, case / "adapter").eval()
    ids = torch.tensor([[1, 30, 259, 40, 260, 2]])
    loaded = open_model(service.runtime, service.runtime.store.indexes.require(index["id"])).model
    torch.testing.assert_close(loaded(input_ids=ids).logits, expected(input_ids=ids).logits, rtol=0, atol=0)


def test_whole_embeddings_can_be_left_out_and_the_index_says_so(service: LocalService) -> None:
    case = case_folder("10-resized-vocabulary")
    checkpoint = service.checkpoint(LLAMA, case / "adapter")
    index = service.index(checkpoint, service.dataset(case / "rows.jsonl"), storage="full", parts="lora")
    assert all(".lora_" in block["name"] for block in index["blocks"])
    assert index["parameters"] == checkpoint["lora_parameters"] < checkpoint["parameters"]
    assert any("LoRA factors alone" in warning for warning in index["warnings"])
