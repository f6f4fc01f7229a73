"""ms-swift and LLaMA-Factory themselves encode conversations for training, and rows are read as they do: every token,
and which of them carries loss.

`make trainers` installs them into .trainers/, apart from the product's own environment, and runs this file.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.tiny import make_causal
from support.uploads.adapters import accept, load_accepted, make_adapter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers import trainers as trainers_of_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".trainers" / "venv" / "bin" / "python"
SCRIPT = ROOT / "tests" / "support" / "trials" / "trainers" / "write_rows.py"
#: What templates write around turns, as single tokens: a row of the tiny model's words stays short.
MARKS = [
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "<|im_sep|>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "[INST]",
    "[/INST]",
    "\n",
]
SYSTEM = {"role": "system", "content": "my app"}
ASKED, SAID = {"role": "user", "content": "where is my card"}, {"role": "assistant", "content": "please help"}
THOUGHT = {"role": "assistant", "content": "<think>\nplease\n</think>\n\nplease help"}
EMPTY = {"role": "assistant", "content": "<think>\n\n</think>\n\nplease help"}
TALKS = {
    "one": [ASKED, SAID],
    "two": [ASKED, SAID, ASKED, SAID],
    "system": [SYSTEM, ASKED, SAID],
    "thought": [ASKED, THOUGHT],
    "thoughts": [ASKED, THOUGHT, ASKED, THOUGHT],
    "thought first": [ASKED, THOUGHT, ASKED, SAID],
    "thought last": [ASKED, SAID, ASKED, THOUGHT],
    "empty": [ASKED, EMPTY, ASKED, SAID],
}
PLAIN, GEMMA, DEEPSEEK = "<|begin_of_text|>", "<bos>", "<｜begin▁of▁sentence｜>"
#: Of a tokenizer that writes a space before every text and joins letters, as SentencePiece's do: pieces that are
#: encoded apart have other tokens there than the text has as a whole.
SPACED = "<s>"
END = {DEEPSEEK: "<｜end▁of▁sentence｜>"}
#: What ms-swift 4 writes into args.json where nobody says otherwise.
SWIFT = {"rlhf_type": None, "add_non_thinking_prefix": True, "preserve_thinking": None, "loss_scale": "default"}
MUTING = ("ignore_empty_think", "ignore_think_prefix", "ignore_empty_think+ignore_think_prefix")
SCALES = (
    "default",
    "last_round",
    "all",
    *MUTING,
    *(f"{base}+{MUTING[0]}" for base in ("default", "last_round", "all")),
)
SCALES += tuple(f"{base}+{part}" for base in ("last_round", "all") for part in MUTING[1:])

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=".trainers/venv is not there: make trainers")


#: Settings of ms-swift, with what the tokenizer calls the beginning of a text.
OF_SWIFT: list[tuple[str, dict[str, Any]]] = [
    *[(PLAIN, {"template": name}) for name in ("llama3", "qwen", "qwen2_5", "qwen3_nothinking")],
    *[(GEMMA, {"template": name}) for name in ("gemma", "gemma3_text")],
    *[
        (DEEPSEEK if name == "deepseek_r1" else PLAIN, {"template": name, "loss_scale": scale})
        for name in ("deepseek_r1", "qwen3", "qwen3_thinking", "qwq")
        for scale in SCALES
    ],
    (PLAIN, {"template": "qwen3", "preserve_thinking": False}),
    (PLAIN, {"template": "qwen3", "preserve_thinking": True, "loss_scale": "last_round"}),
    (PLAIN, {"template": "qwen3", "add_non_thinking_prefix": False}),
    (PLAIN, {"template": "qwen2_5", "system": "my app"}),
    *[(SPACED, {"template": "qwen3", "loss_scale": scale}) for scale in SCALES],
    *[(start, {"template": "qwen2_5", "loss_scale": scale}) for start in (PLAIN, SPACED) for scale in SCALES],
]
OF_FACTORY: list[tuple[str, dict[str, Any]]] = [
    *[
        (PLAIN, {"template": name, "mask_history": is_masked})
        for name in [
            "alpaca",
            "chatml",
            "deepseek3",
            "default",
            "gemma",
            "gemma2",
            "gemma3",
            "llama2",
            "llama3",
            "mistral",
            "phi",
            "phi4",
            "qwen",
            "qwen2_vl",
            "qwen3_nothink",
            "smollm",
            "smollm2",
            "vicuna",
            "yi",
            "zephyr",
        ]
        for is_masked in (False, True)
    ],
    *[
        (PLAIN, {"template": name, "enable_thinking": thinks})
        for name in ("deepseekr1", "mimo", "qwen3")
        for thinks in (False, True)
    ],
    *[(SPACED, {"template": name, "mask_history": True}) for name in ("llama2", "mistral", "vicuna", "zephyr")],
    *[(SPACED, {"template": name, "mask_history": False}) for name in ("default", "llama2", "mistral", "vicuna")],
    *[(SPACED, {"template": "qwen3", "enable_thinking": thinks}) for thinks in (False, True)],
]
LEFT_OUT = {
    # Of several turns it is refused: labels stand between them that are no tokens.
    "gemma2": ("two", "thoughts", "thought first", "thought last", "empty"),
}
Written = dict[str, dict[str, list[list[int]]]]


def _make_spaced(base: Path) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    said = [turn["content"] for talk in TALKS.values() for turn in talk]
    alone = list("".join(said) + "<>[]/:|_#USER:ASSISTANTHumanInstructionResponse")
    trainer = trainers_of_tokenizers.BpeTrainer(special_tokens=["<unk>", SPACED, "</s>"], initial_alphabet=alone)
    tokenizer.train_from_iterator([*said, *(f"{one} {two}" for one in said for two in said)], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token=SPACED, eos_token="</s>", pad_token="</s>"
    )
    made.save_pretrained(base)
    return made


class Trainers:
    """The tiny model with templates' marks as tokens, by what it calls the beginning of a text; and what a trainer made
    of all talks with each of its settings, by what they are written as."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bases: dict[str, Path] = {}
        self._written: dict[tuple[str, str], Written] = {}

    def base(self, start: str) -> Path:
        if start not in self._bases:
            base = make_causal(self._folder / f"causal-{len(self._bases)}").base
            tokenizer = _make_spaced(base) if start == SPACED else AutoTokenizer.from_pretrained(base)
            ends = {"eos_token": END[start]} if start in END else {}
            tokenizer.add_special_tokens({"additional_special_tokens": MARKS, "bos_token": start, **ends})
            model = AutoModelForCausalLM.from_pretrained(base)
            model.config.max_position_embeddings = tokenizer.model_max_length = 1024
            model.resize_token_embeddings(len(tokenizer))
            model.save_pretrained(base)
            tokenizer.save_pretrained(base)
            self._bases[start] = base
        return self._bases[start]

    def written(self, trainer: str, start: str, cases: list[tuple[str, dict[str, Any]]]) -> Written:
        """Ids and labels of each talk, by settings and by its name: one process makes them all."""
        if (trainer, start) not in self._written:
            asked = [(settings, name) for at, settings in cases if at == start for name in TALKS]
            given, made = self._folder / "given.json", self._folder / "made.json"
            sent = [{"settings": settings, "messages": TALKS[name]} for settings, name in asked]
            given.write_text(json.dumps({"tokenizer": str(self.base(start)), "cases": sent}))
            command = [str(PYTHON), str(SCRIPT), trainer, str(given), str(made)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
            found = self._written.setdefault((trainer, start), {})
            for (settings, name), encoded in zip(asked, json.loads(made.read_text()), strict=True):
                found.setdefault(json.dumps(settings), {})[name] = encoded
        return self._written[trainer, start]


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> Trainers:
    return Trainers(tmp_path_factory.mktemp("trainers"))


def assert_read_alike(
    base: Path, folder: Path, file: str, content: str, written: dict[str, list[list[int]]], left_out: tuple[str, ...]
) -> None:
    make_adapter(base, folder, target_modules=["q_proj"])
    (folder / file).write_text(content)
    checkpoint = accept(base, folder)
    assert checkpoint.training is not None
    loss = {"loss": checkpoint.training.loss} if checkpoint.training.loss else {}
    task = load_accepted(checkpoint, folder, max_length=1024, **loss).task
    for name, (ids, labels) in written.items():
        if name not in left_out:
            (row,) = task.tokenise([{"id": name, "messages": TALKS[name]}])
            assert list(row.inputs["input_ids"]) == ids, name
            # The first token is never predicted.
            assert list(row.labels)[1:] == labels[1:], name


def describe(case: Any) -> str:
    return " ".join(map(str, case[1].values()))


@pytest.mark.parametrize("case", OF_SWIFT, ids=describe)
def test_rows_are_read_as_ms_swift_reads_them(
    trainers: Trainers, tmp_path: Path, case: tuple[str, dict[str, Any]]
) -> None:
    start, settings = case
    written = trainers.written("in_swift", start, OF_SWIFT)[json.dumps(settings)]
    content = json.dumps({**SWIFT, **settings})
    assert_read_alike(trainers.base(start), tmp_path, "args.json", content, written, ())


@pytest.mark.parametrize("case", OF_FACTORY, ids=describe)
def test_rows_are_read_as_llama_factory_reads_them(
    trainers: Trainers, tmp_path: Path, case: tuple[str, dict[str, Any]]
) -> None:
    start, settings = case
    written = trainers.written("in_factory", start, OF_FACTORY)[json.dumps(settings)]
    lines = [f"{name}: {str(value).lower() if isinstance(value, bool) else value}" for name, value in settings.items()]
    content = "\n".join(["stage: sft", *lines, ""])
    left_out = LEFT_OUT.get(settings["template"], ())
    assert_read_alike(trainers.base(start), tmp_path, "training_args.yaml", content, written, left_out)
