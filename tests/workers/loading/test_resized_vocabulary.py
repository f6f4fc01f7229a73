"""Vocabularies that training resized: the base is resized as PEFT's users do, or the adapter is refused when sent."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import TinyCheckpoint, make_causal, make_classifier
from support.uploads.adapters import IDS, accept, load_accepted, logits_of_peft, make_adapter
from transformers import AutoModelForCausalLM

from influence.contracts.index import GradientSettings
from influence.errors import AdapterMismatch, TokenizerRefused
from workers.loading.checkpoint import make_untrained
from workers.loading.options import LoadOptions

WEIGHTS = "adapter_model.safetensors"
GROWN, SHRUNK = 50, 40
PLAIN: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"]}
VARIANTS: dict[str, dict[str, Any]] = {
    "nothing told": PLAIN,
    "embeddings saved": {**PLAIN, "modules_to_save": ["embed_tokens", "lm_head"]},
    "embeddings adapted": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "new tokens trained": {**PLAIN, "trainable_token_indices": [3, 47, 49]},
}


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory, causal: TinyCheckpoint) -> Path:
    folder = tmp_path_factory.mktemp("tied") / "base"
    shutil.copytree(causal.base, folder)
    AutoModelForCausalLM.from_pretrained(causal.base, tie_word_embeddings=True).save_pretrained(folder)
    return folder


def resize(entries: int) -> Any:
    return lambda model: model.resize_token_embeddings(entries)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("which", ["untied", "tied"])
def test_grown_vocabulary_computes_what_training_left(
    variant: str, which: str, causal: TinyCheckpoint, tied: Path, tmp_path: Path
) -> None:
    base = tied if which == "tied" else causal.base
    trained = make_adapter(base, tmp_path, prepare=resize(GROWN), **VARIANTS[variant])
    checkpoint = accept(base, tmp_path)
    assert checkpoint.vocabulary == GROWN
    loaded = load_accepted(checkpoint, tmp_path)
    ids = torch.tensor([[1, 7, 48, 49, 2]])
    torch.testing.assert_close(loaded.model(input_ids=ids).logits, trained(input_ids=ids).logits, rtol=1e-5, atol=1e-6)


def test_vocabulary_that_was_cut_computes_what_peft_computes(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, prepare=resize(SHRUNK), **PLAIN)
    checkpoint = accept(causal.base, tmp_path)
    assert checkpoint.vocabulary == SHRUNK
    expected = logits_of_peft(causal.base, tmp_path, prepare=resize(SHRUNK))
    torch.testing.assert_close(load_accepted(checkpoint, tmp_path).model(input_ids=IDS).logits, expected)


def drop(folder: Path, *names: str) -> None:
    weights = load_file(folder / WEIGHTS)
    save_file({name: tensor for name, tensor in weights.items() if not name.endswith(names)}, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("variant", "dropped", "lacking"),
    [
        ("nothing told", ("lm_head.weight",), "lm_head"),
        ("embeddings adapted", ("base_layer.weight",), "embed_tokens and lm_head"),
    ],
)
def test_adapter_without_all_new_entries_is_refused_when_it_is_sent(
    variant: str, dropped: tuple[str, ...], lacking: str, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    make_adapter(causal.base, tmp_path, prepare=resize(GROWN), **VARIANTS[variant])
    drop(tmp_path, *dropped)
    with pytest.raises(AdapterMismatch, match=f"50 entries and the base model's 46; .* {lacking}, so") as caught:
        accept(causal.base, tmp_path)
    assert "save_embedding_layers=True" in caught.value.hint
    assert "'base_model'" in caught.value.hint


def test_the_resized_base_is_the_other_way_in(causal: TinyCheckpoint, tmp_path: Path) -> None:
    """What the refusal's hint says works: the base as training resized it, sent as the base model."""
    trained = make_adapter(causal.base, tmp_path / "adapter", prepare=resize(GROWN), **PLAIN)
    drop(tmp_path / "adapter", "lm_head.weight", "embed_tokens.weight")
    shutil.copytree(causal.base, tmp_path / "base")
    expected = trained(input_ids=IDS).logits
    trained.unload().save_pretrained(tmp_path / "base")
    checkpoint = accept(tmp_path / "base", tmp_path / "adapter")
    assert checkpoint.vocabulary is None
    loaded = load_accepted(checkpoint, tmp_path / "adapter")
    torch.testing.assert_close(loaded.model(input_ids=IDS).logits, expected, rtol=1e-5, atol=1e-6)


def test_tokenizer_with_more_ids_than_embeddings_is_refused(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN)
    pipeline = json.loads((causal.base / "tokenizer.json").read_text())
    pipeline["added_tokens"] += [{**pipeline["added_tokens"][0], "id": 46, "content": "<act>"}]
    (tmp_path / "tokenizer.json").write_text(json.dumps(pipeline))
    with pytest.raises(TokenizerRefused, match="has 47 ids, the model's embeddings have 46") as caught:
        accept(causal.base, tmp_path)
    assert "leave the tokenizer's files out" in caught.value.hint


def test_whole_tensors_of_another_width_are_refused_when_they_are_sent(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, **PLAIN, modules_to_save=["embed_tokens", "norm"])
    weights = load_file(tmp_path / WEIGHTS)
    for ending, shape in (("embed_tokens.weight", (46, 16)), ("model.norm.weight", (16,))):
        name = next(name for name in weights if name.endswith(ending))
        save_file({**weights, name: torch.zeros(shape)}, tmp_path / WEIGHTS)
        with pytest.raises(AdapterMismatch) as caught:
            accept(causal.base, tmp_path)
        assert caught.value.extra["misshapen"] == [name]


def test_classifier_needs_no_output_embeddings(tmp_path: Path) -> None:
    """A resized encoder saves its input embeddings alone: it has no others."""
    made = make_classifier(tmp_path)
    weights = load_file(made.adapter / WEIGHTS)
    name = "base_model.model.bert.embeddings.word_embeddings.weight"
    save_file({**weights, name: torch.randn(60, 32)}, made.adapter / WEIGHTS)
    checkpoint = accept(made.base, made.adapter)
    assert checkpoint.vocabulary == 60
    model: Any = load_accepted(checkpoint, made.adapter).model
    torch.testing.assert_close(
        model.get_input_embeddings().weight.detach(),
        load_file(made.adapter / WEIGHTS)[name],
    )


def test_fresh_model_of_an_experiment_has_the_vocabulary_too(causal: TinyCheckpoint, tmp_path: Path) -> None:
    make_adapter(causal.base, tmp_path, prepare=resize(GROWN), **VARIANTS["embeddings saved"])
    checkpoint = accept(causal.base, tmp_path)
    fresh = make_untrained(
        checkpoint, tmp_path, GradientSettings(), LoadOptions(cache_dir=tmp_path), seed=0, dropout=0.0
    )
    assert fresh.model(input_ids=torch.tensor([[48]])).logits.shape[-1] == GROWN
