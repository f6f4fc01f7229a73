"""A PiSSA adapter saved without conversion: the base that PEFT loads is not the one that is named."""

import json
import shutil
from pathlib import Path

from peft import PeftModel
from support.problems import assert_problem
from support.uploads.cases import LLAMA, assert_right, case_folder, read_json
from support.uploads.local_service import LocalService
from transformers import AutoModelForCausalLM


def test_it_is_refused_with_the_field_and_the_way_out(service: LocalService) -> None:
    case = case_folder("01-pissa-adapter")
    problem = assert_problem(service.send_checkpoint(LLAMA, case / "adapter"), 422, "adapter_config_refused")
    assert "init_lora_weights" in problem["detail"]
    assert "path_initial_model_for_weight_conversion" in problem["hint"]


def test_following_the_hint_gives_the_right_scores(service: LocalService, tmp_path: Path) -> None:
    case = case_folder("01-pissa-adapter")
    base = Path(shutil.copytree(LLAMA, tmp_path / "base", copy_function=shutil.copyfile))
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(LLAMA), case / "adapter")
    model.unload().save_pretrained(base)
    adapter = Path(shutil.copytree(case / "adapter", tmp_path / "adapter", copy_function=shutil.copyfile))
    config = read_json(case / "adapter" / "adapter_config.json")
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "init_lora_weights": True}))
    checkpoint = service.checkpoint(base, adapter)
    index = service.index(checkpoint, service.dataset(case / "rows.jsonl"), storage="full")
    assert_right(service.scores(index, read_json(case / "test.json")), case)
