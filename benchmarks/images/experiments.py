"""What is asked about image models: one command each."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

_CAPTIONS = {"image": "image", "text": "text"}
_TRAINED = "--lora-rank 4 --lora-alpha 8 --batch-rows 16 --learning-rate 3e-3"
_CLASSES = f"{_TRAINED} --methods datainf,proximal,hessian_free,cosine --test-points 90 --epochs 8"
_LDS = (
    f"{_TRAINED} --methods datainf,proximal,hessian_free,datainf=square,proximal=square,hessian_free=square "
    "--rows 90 --test-points 30 --subsets 48 --epochs 12"
)
_WRONG = (
    "--lora-rank 8 --lora-alpha 16 --batch-rows 32 --learning-rate 3e-3 --epochs 10 --flip-share 0.1 --seeds 0,1,2 "
    "--methods datainf,proximal,exact,hessian_free,cosine --test-points 200"
)


@dataclass(frozen=True)
class Experiment:
    """One command on a file of the working folder: which base, which columns, and whether test rows lie beside it."""

    name: str
    title: str
    kind: str
    data: str
    columns: dict[str, str]
    options: str
    base: str = "letters"
    tested: bool = True

    def arguments(self, folder: Path, base: Path) -> list[str]:
        """Of `datainf`, for rows in a folder and the folder of a base model."""
        files = ["--data", str(folder / f"{self.data}-train.jsonl"), "--columns", json.dumps(self.columns)]
        if self.tested:
            files += ["--evaluation-data", str(folder / f"{self.data}-test.jsonl")]
        return ["evaluate", self.kind, *files, "--base-model", str(base), *shlex.split(self.options)]


EXPERIMENTS = (
    Experiment("styles", "Styles of letters", "class-attribution", "glyphs", {**_CAPTIONS, "class": "style"}, _CLASSES),
    Experiment(
        "subjects",
        "Subjects: which letter it is",
        "class-attribution",
        "glyphs",
        {**_CAPTIONS, "class": "subject"},
        _CLASSES,
    ),
    Experiment("lds", "What training without pictures does", "lds", "glyphs", {**_CAPTIONS, "class": "style"}, _LDS),
    Experiment(
        "photographs",
        "Photographs, by what they show",
        "class-attribution",
        "photographs",
        {**_CAPTIONS, "class": "class"},
        _CLASSES,
        tested=False,
    ),
    Experiment(
        "handwriting",
        "Wrong labels among handwritten characters",
        "mislabelled",
        "handwriting",
        {"image": "image", "label": "label"},
        _WRONG,
        base="characters",
    ),
)
