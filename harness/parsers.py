"""`python -m harness.parsers [TARGET]`: coverage-guided fuzzing of what reads uploads. Whatever bytes come, a reader
answers or raises an error of ours, which says what is wrong; anything else is a finding, kept as a file to run again.

Each target runs in a process of its own, for libFuzzer ends the process. Needs Atheris (`make fuzz-parsers`).
"""

import argparse
import io
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
import numpy as np
from PIL import Image
from safetensors.numpy import save

from influence.contracts.checkpoint import BaseModelRef
from influence.errors import DatainfError

_READERS = ["app.intake", "app.http", "app.reviews", "influence.checkpoint_files", "influence.rows"]
with atheris.instrument_imports(include=_READERS):
    from app.http.strict_json import parse_json
    from app.intake.adapter_folder import unpack_adapter
    from app.intake.adapters import accept_adapter
    from app.intake.datasets import accept_table
    from app.intake.tables.limits import TableLimits
    from app.intake.tables.opening import open_table
    from app.reviews.handback import read_entries
    from influence.checkpoint_files.adapters.notes.pickled_arguments import PICKLED
    from influence.checkpoint_files.adapters.notes.plain_notes import NOTE_FILES
    from influence.checkpoint_files.config import parse_adapter_config
    from influence.checkpoint_files.safetensors_header import read_header
    from influence.checkpoint_files.task.trained_as import read_recipe
    from influence.checkpoint_files.tokenizers.settings import TOKENIZER_FILES, read_settings
    from influence.rows.images.decoding import decoded_image
    from influence.rows.images.limits import ImageLimits
    from influence.rows.images.sources import shared_budget

_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".zip")
_NOTES = (*NOTE_FILES, PICKLED)
_TOKENIZER = tuple(TOKENIZER_FILES)
_MOST_BYTES = 1 << 20
_CONFIG = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 2, "lora_alpha": 4, "target_modules": ["query"]}
_IMAGES = ImageLimits()

Target = Callable[[Path, bytes], object]


def read_table(folder: Path, data: bytes) -> None:
    """The first byte says by which name the rest comes."""
    name = f"rows{_SUFFIXES[data[0] % len(_SUFFIXES)] if data else ''}"
    path = folder / name
    path.write_bytes(data[1:])
    limits = TableLimits(max_bytes=_MOST_BYTES)
    accept_table(open_table(path, limits=limits), destination_root=folder / "datasets", image_limits=_IMAGES)


def read_adapter(folder: Path, data: bytes) -> None:
    """A zip of an adapter, with nothing known of its base."""
    archive, unpacked = folder / "adapter.zip", folder / "adapter"
    archive.write_bytes(data)
    unpacked.mkdir()
    unpack_adapter(archive, unpacked)
    accept_adapter(unpacked, BaseModelRef(name="base", kind="hub", location="org/base", revision="0" * 40))


def read_weights(folder: Path, data: bytes) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(data)
    read_header(path)


def read_notes(folder: Path, data: bytes) -> None:
    """What a trainer left beside an adapter: the first byte says in which file; a pickle lies in a zip, as it is."""
    name = _NOTES[data[0] % len(_NOTES)] if data else _NOTES[0]
    if name == PICKLED:
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("training_args/data.pkl", data[1:])
    else:
        (folder / name).write_bytes(data[1:])
    read_recipe(folder)


def read_tokenizer(folder: Path, data: bytes) -> None:
    """A tokenizer's files, one after the other with a NUL between; the first byte says which is the first."""
    first = data[0] % len(_TOKENIZER) if data else 0
    names = (*_TOKENIZER[first:], *_TOKENIZER[:first])
    for name, content in zip(names, data[1:].split(b"\0"), strict=False):
        (folder / name).write_bytes(content)
    read_settings(folder)


def read_decisions(folder: Path, data: bytes) -> None:
    path = folder / "decisions"
    path.write_bytes(data)
    list(read_entries(path))


def read_image(_: Path, data: bytes) -> None:
    with decoded_image(data, _IMAGES, shared_budget(_IMAGES)):
        pass


TARGETS: dict[str, Target] = {
    "table": read_table,
    "adapter": read_adapter,
    "config": lambda _, data: parse_adapter_config(data),
    "weights": read_weights,
    "notes": read_notes,
    "tokenizer": read_tokenizer,
    "json": lambda _, data: parse_json(data),
    "decisions": read_decisions,
    "image": read_image,
}


def seeds() -> dict[str, list[bytes]]:
    """What each target reads without complaint: what is bent begins here."""
    rows = [{"text": "late parcel", "label": at % 2, "source": "mail"} for at in range(4)]
    lines = b"\n".join(json.dumps(row).encode() for row in rows)
    table = b"text,label,source\n" + b"".join(b'"late, parcel",%d,mail\n' % (at % 2) for at in range(4))
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    config = json.dumps(_CONFIG).encode()
    name = "base_model.model.bert.encoder.layer.0.attention.self.query.lora_{}.weight"
    weights = save({name.format("A"): np.ones((2, 4), np.float32), name.format("B"): np.ones((4, 2), np.float32)})
    state: dict[str, Any] = {"log_history": [{"step": 2, "learning_rate": 1e-4, "rewards/margins": 0.1}]}
    card = "---\ntags:\n- trl\n- sft\n---\n```yaml\nadapter: lora\ndatasets:\n  - type: chat_template\n```\n"
    lines_of_settings = "stage: sft\ntemplate: qwen\ncutoff_len: 2048\ndefault_system: |\n  Be brief.\n"
    arguments = pickle.dumps({"output_dir": "out", "max_length": 64, "packing": True, "kinds": ["a", "b"]}, protocol=2)
    notes = {
        "args.json": json.dumps({"train_type": "lora", "template": "qwen2_5", "loss_scale": "default"}).encode(),
        "training_args.yaml": lines_of_settings.encode(),
        "README.md": card.encode(),
        "trainer_state.json": json.dumps(state).encode(),
        PICKLED: b"\x80\x02ctrl.trainer.sft_config\nSFTConfig\nq\x00" + arguments[2:],
    }
    pipeline: dict[str, Any] = {"version": "1.0", "added_tokens": [{"id": 2, "content": "</s>", "special": True}]}
    pipeline |= {"pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}}}
    settings = {"eos_token": "</s>", "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}
    tokenizer = {"tokenizer.json": pipeline, "tokenizer_config.json": settings}
    packed, picture = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("adapter_config.json", config)
        archive.writestr("adapter_model.safetensors", weights)
    Image.new("RGB", (8, 8), "teal").save(picture, "PNG")
    return {
        "table": [
            b"\0" + lines,
            b"\0" + json.dumps({"messages": talk}).encode(),
            b"\1" + json.dumps(rows).encode(),
            b"\2" + table,
        ],
        "adapter": [packed.getvalue()],
        "config": [config],
        "weights": [weights],
        "notes": [bytes([_NOTES.index(file)]) + content for file, content in notes.items()],
        "tokenizer": [_join_files(tokenizer)],
        "json": [lines.split(b"\n")[0]],
        "decisions": [b'[{"row_index": 0, "action": "keep"}]', b"row_index,action\n0,remove\n"],
        "image": [picture.getvalue()],
    }


def _join_files(files: dict[str, Any]) -> bytes:
    return b"\0" + b"\0".join(json.dumps(files[name]).encode() if name in files else b"" for name in _TOKENIZER)


def fuzz_one(name: str, runs: int, seed: int, findings: Path) -> None:
    """Does not come back: libFuzzer ends the process, with 77 where something was found."""
    scratch = Path(tempfile.mkdtemp(prefix=f"datainf-{name}-"))
    corpus = scratch / "corpus"
    corpus.mkdir()
    for number, content in enumerate(seeds()[name]):
        (corpus / str(number)).write_bytes(content)

    def try_one(data: bytes) -> None:
        folder = scratch / "now"
        folder.mkdir()
        try:
            TARGETS[name](folder, data)
        except DatainfError:
            pass  # an answer: it has a status, a code, a sentence and a hint
        finally:
            shutil.rmtree(folder)

    options = [f"-runs={runs}", f"-seed={seed}", "-max_len=8192", f"-artifact_prefix={findings}/{name}-", "-timeout=30"]
    atheris.Setup([sys.argv[0], *options, "-verbosity=0", str(corpus)], try_one)
    atheris.Fuzz()


def main() -> int:
    """0 where every target took all its runs; each target is a process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    if options.target is not None:
        fuzz_one(options.target, options.runs, options.seed, options.findings)
    print(f"seed: {options.seed}; findings go to {options.findings}", flush=True)
    failed = []
    for name in TARGETS:
        command = [sys.executable, "-m", "harness.parsers", name, f"--runs={options.runs}", f"--seed={options.seed}"]
        code = subprocess.run([*command, f"--findings={options.findings}"], check=False).returncode
        print(f"{name}: {'every input was answered' if code == 0 else f'ended with {code}'}", flush=True)
        failed += [name] if code else []
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
