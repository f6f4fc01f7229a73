"""`python -m harness.parsers [TARGET]`: coverage-guided fuzzing of what reads uploads. Whatever bytes come, a reader
answers or raises an error of ours, which says what is wrong; anything else is a finding, kept as a file to run again.

Each target runs in a process of its own, for libFuzzer ends the process. Needs Atheris (`make fuzz-parsers`).
"""

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

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
    from influence.checkpoint_files.config import parse_adapter_config
    from influence.checkpoint_files.safetensors_header import read_header
    from influence.rows.images.decoding import decoded_image
    from influence.rows.images.limits import ImageLimits
    from influence.rows.images.sources import shared_budget

_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".zip")
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
        "json": [lines.split(b"\n")[0]],
        "decisions": [b'[{"row_index": 0, "action": "keep"}]', b"row_index,action\n0,remove\n"],
        "image": [picture.getvalue()],
    }


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
