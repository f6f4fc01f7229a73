"""Which scores of image models to trust: classes found, and trainings without images predicted, onto one page of docs.

    python -m benchmarks.images [--shared ../shared] [--base PATH]      # goes on where it ended
    python -m benchmarks.images --page-only                             # the page from reports that are there

Trains the base of `make demo-images` where no other pipeline is named, starts a service of its own, runs `datainf
evaluate` for every experiment that has no report yet, and writes docs/images/evaluations.md with what the reports say.
Photographs and handwriting are read from `data/images` of --shared, and left out where they are not there.
"""

import argparse
import base64
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.evaluations.page import body_of
from benchmarks.images.experiments import EXPERIMENTS
from benchmarks.images.handwriting import draw_rows, read_drawings, train_base
from demo.images.glyphs import STYLES, draw_all
from demo.images.preparation import TEST_EACH, prepare, training_rows
from demo.service import running_service

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = _ROOT / "docs" / "images" / "evaluations.md"
_INTRODUCTION = Path(__file__).with_name("reading.md")
_PHOTOGRAPHS = Path("data") / "images" / "dreambooth64"
_HANDWRITING = Path("data") / "images" / "omniglot_small1" / "omniglot_small1.zip"
_SEED = 0


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=_ROOT.parent / "shared", help="folder with data/images")
    parser.add_argument("--work", type=Path, default=Path(".datainf/images"), help="reports, and the service's data")
    parser.add_argument("--base", type=Path, help="folder of a pipeline; the demo's when left out")
    parser.add_argument("--only", choices=[one.name for one in EXPERIMENTS], help="run this one alone")
    parser.add_argument("--page-only", action="store_true", help="run nothing")
    options = parser.parse_args()
    work = options.work.resolve()
    if not options.page_only:
        work.mkdir(parents=True, exist_ok=True)
        run_missing(work, options.base, options.shared, options.only)
    write_page(work)


def run_missing(work: Path, pipeline: Path | None, shared: Path, only: str | None) -> None:
    """Every experiment without a report whose rows can be had, or one alone."""
    write_rows(work, shared)
    bases = {"letters": (pipeline or prepare(work, _SEED).base).resolve(), "characters": work / "characters"}
    settings = {"DATAINF_ALLOWED_ROOTS": json.dumps([str(base.parent) for base in bases.values()])}
    with running_service(work / "service", 0, settings) as url:
        for experiment in (one for one in EXPERIMENTS if only in (None, one.name)):
            if (work / experiment.name / "report.md").is_file():
                continue
            if not (work / f"{experiment.data}-train.jsonl").is_file():
                print(f"Left out: {experiment.title}. Its rows are not under {shared}.")
                continue
            arguments = experiment.arguments(work, bases[experiment.base])
            command = [str(Path(sys.executable).with_name("datainf")), *arguments]
            subprocess.run([*command, "--out", str(work / experiment.name), "--url", url], check=True)
            write_page(work)


def write_rows(work: Path, shared: Path) -> None:
    """Letters to train on and to ask about; photographs, handwriting and its base where there are any."""
    test = draw_all(STYLES, each=TEST_EACH, seed=_SEED, name="test")
    _write(work / "glyphs-train.jsonl", (glyph.to_row() for glyph in training_rows(_SEED)))
    _write(work / "glyphs-test.jsonl", (glyph.to_row() for glyph in test))
    if (shared / _PHOTOGRAPHS / "metadata.jsonl").is_file():
        _write(work / "photographs-train.jsonl", read_photographs(shared / _PHOTOGRAPHS))
    if (shared / _HANDWRITING).is_file():
        drawings = read_drawings(shared / _HANDWRITING)
        for part, rows in zip(("train", "test"), draw_rows(drawings, _SEED), strict=True):
            _write(work / f"handwriting-{part}.jsonl", rows)
        if not (work / "characters" / "config.json").is_file():
            train_base(work / "characters", drawings, _SEED)


def read_photographs(folder: Path) -> Iterator[Mapping[str, str]]:
    """Rows of image and caption; the class is what is on the photograph."""
    for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines():
        found = json.loads(line)
        image = base64.b64encode((folder / found["file"]).read_bytes()).decode()
        yield {"id": found["file"], "image": image, "text": "a photograph", "class": found["class"]}


def write_page(work: Path) -> None:
    """The page of all reports that are there, under the reading that people wrote."""
    parts = [_INTRODUCTION.read_text("utf-8").rstrip()]
    for experiment in EXPERIMENTS:
        if (work / experiment.name / "report.md").is_file():
            command = shlex.join(["datainf", *experiment.arguments(Path(), Path(f"/{experiment.base}"))])
            parts += [f"## {experiment.title}", f"```\n{command}\n```", body_of(work / experiment.name)]
    _PAGE.write_text("\n\n".join(parts) + "\n", "utf-8")


def _write(path: Path, rows: Iterator[Mapping[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


if __name__ == "__main__":
    main()
