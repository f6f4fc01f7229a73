"""Every kind of evaluation on public data, by the command that users run, onto one page of docs.

    python -m benchmarks.evaluations --shared ../shared      # hours on two cores; goes on where it ended
    python -m benchmarks.evaluations --page-only             # the page from reports that are there

Starts a service of its own, runs `datainf evaluate` for every experiment that has no report yet, and writes
docs/benchmarks/evaluations.md with what the reports say.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from demo.service import running_service

_ROOT = Path(__file__).resolve().parent.parent
_PAGE = _ROOT / "docs" / "benchmarks" / "evaluations.md"
_INTRODUCTION = Path(__file__).with_name("evaluations_reading.md")
_LDS = (
    "datainf,hessian_free,cosine,exact,joint,proximal,datainf@compact16,exact@compact16,proximal@compact16,"
    "datainf@compact64,exact@compact64,proximal@compact64,hessian_free*3,datainf*3,exact*3,proximal*3,proximal@compact64*3"
)
_OTHERS = "ekfac,relative,exact:1,proximal:1,proximal:10,joint:10"
_NOISY = "--rows 600 --test-points 100 --flip-share 0.1 --seeds 0,1,2"


@dataclass(frozen=True)
class Experiment:
    """One command; `picture` of its report is shown on the page."""

    name: str
    title: str
    kind: str
    data: str
    test: str
    options: str
    picture: str | None = None

    def arguments(self, shared: Path) -> list[str]:
        folder = shared / "data" / self.data
        files = ["--data", str(folder / "train.jsonl"), "--evaluation-data", str(folder / f"{self.test}.jsonl")]
        return ["evaluate", self.kind, *files, *shlex.split(self.options)]


EXPERIMENTS = (
    Experiment(
        "lds-sst2",
        "Agreement with retraining, SST-2",
        "lds",
        "sst2",
        "validation",
        f"{_NOISY} --subsets 48 --methods '{_LDS}'",
        "lds",
    ),
    Experiment(
        "lds-banking10",
        "Agreement with retraining, BANKING10",
        "lds",
        "banking10",
        "validation",
        f"{_NOISY} --subsets 24 --epochs 10 --methods '{_LDS}'",
        "lds",
    ),
    Experiment(
        "lds-sst2-others",
        "Other methods and dampings, SST-2",
        "lds",
        "sst2",
        "validation",
        f"{_NOISY} --subsets 48 --methods '{_OTHERS}'",
    ),
    Experiment(
        "lds-banking10-others",
        "Other methods and dampings, BANKING10",
        "lds",
        "banking10",
        "validation",
        f"{_NOISY} --subsets 24 --epochs 10 --methods '{_OTHERS}'",
    ),
    Experiment(
        "mislabelled-sst2",
        "Finding wrong labels, SST-2",
        "mislabelled",
        "sst2",
        "validation",
        "--rows 1000 --test-points 100 --flip-share 0.2 --seeds 0,1,2",
        "recall",
    ),
    Experiment(
        "mislabelled-banking10",
        "Finding wrong labels, BANKING10",
        "mislabelled",
        "banking10",
        "validation",
        "--rows 1000 --test-points 100 --flip-share 0.2 --seeds 0,1,2 --epochs 10",
    ),
    Experiment(
        "leave-out-sst2",
        "Leaving out helpful rows, SST-2",
        "leave-out",
        "sst2",
        "validation",
        "--rows 600 --test-points 100 --flip-share 0.1 --counts 60,120 --repeats 3 --seeds 0",
        "leave-out",
    ),
    Experiment(
        "correlation-sst2",
        "Agreement with the exact solve, SST-2",
        "correlation",
        "sst2",
        "validation",
        "--rows 600 --test-points 100 --seeds 0,1,2 --ranks 1,2,4,8",
        "correlation",
    ),
    Experiment(
        "correlation-banking10",
        "Agreement with the exact solve, BANKING10",
        "correlation",
        "banking10",
        "validation",
        "--rows 600 --test-points 100 --seeds 0 --ranks 1,2,4,8 --epochs 10",
    ),
    Experiment(
        "class-attribution",
        "Class attribution, sentence transformations",
        "class-attribution",
        "sentence_transformations",
        "test",
        """--columns '{"prompt": "prompt", "completion": "completion", "class": "variation"}' --seeds 0,1,2""",
    ),
)


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=_ROOT.parent / "shared", help="folder with data/")
    parser.add_argument(
        "--work", type=Path, default=Path(".datainf/evaluations"), help="reports, and the service's data"
    )
    parser.add_argument("--page-only", action="store_true", help="run nothing")
    options = parser.parse_args()
    missing = [one for one in EXPERIMENTS if not (options.work / one.name / "report.md").is_file()]
    if missing and not options.page_only:
        with running_service(options.work / "service", 0) as url:
            for experiment in missing:
                run(experiment, options.shared, options.work / experiment.name, url)
    write_page(options.work)


def run(experiment: Experiment, shared: Path, folder: Path, url: str) -> None:
    """One experiment, as a user would ask for it."""
    command = [str(Path(sys.executable).with_name("datainf")), *experiment.arguments(shared), "--out", str(folder)]
    subprocess.run([*command, "--url", url], check=True)


def write_page(work: Path) -> None:
    """The page of all reports that are there, under the reading that people wrote."""
    parts = [_INTRODUCTION.read_text("utf-8").rstrip()]
    pictures = _PAGE.parent / "evaluations"
    pictures.mkdir(exist_ok=True)
    for experiment in EXPERIMENTS:
        folder = work / experiment.name
        if not (folder / "report.md").is_file():
            continue
        command = shlex.join(["datainf", *experiment.arguments(Path("../shared"))])
        parts += [f"## {experiment.title}", f"```\n{command}\n```", body_of(folder)]
        if experiment.picture is not None:
            shutil.copy(folder / f"{experiment.picture}.svg", pictures / f"{experiment.name}.svg")
            parts.append(f"![{experiment.title}](evaluations/{experiment.name}.svg)")
    _PAGE.write_text("\n\n".join(parts) + "\n", "utf-8")


def body_of(folder: Path) -> str:
    """A report without its heading, ids and pictures, its own headings one level down."""
    finished = json.loads((folder / "report.json").read_text("utf-8"))["finished_at"][:10]
    lines = (folder / "report.md").read_text("utf-8").splitlines()[4:]
    kept = [f"#{line}" if line.startswith("#") else line for line in lines if not line.startswith("![")]
    return f"*{finished}*\n\n" + "\n".join(kept).strip()


if __name__ == "__main__":
    main()
