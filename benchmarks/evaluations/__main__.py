"""Every kind of evaluation on public data, by the command that users run, onto pages of docs.

    python -m benchmarks.evaluations --shared ../shared      # hours on two cores; goes on where it ended
    python -m benchmarks.evaluations --page early_checkpoints
    python -m benchmarks.evaluations --page language_model     # needs the extra 'lm': `make demo-lm` installs it
    python -m benchmarks.evaluations --page-only             # the page from reports that are there

Starts a service of its own, runs `datainf evaluate` for every experiment of the page that has no report yet, and writes
docs/benchmarks/evaluations.md, early_checkpoints.md or language_model.md with what the reports say.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.evaluations.experiments import PAGES, Experiment, Page
from benchmarks.evaluations.page import write_page
from cli.samples.transformations import TransformationSettings, make_transformations, to_jsonl
from demo.service import running_service
from influence.checkpoint_files.base_models import converted_folder

_SHARED = Path(__file__).resolve().parents[3] / "shared"


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=_SHARED, help="folder with data/")
    parser.add_argument(
        "--work", type=Path, default=Path(".datainf/evaluations"), help="reports, and the service's data"
    )
    parser.add_argument("--page", choices=list(PAGES), default="evaluations", help="which experiments")
    names = [one.name for page in PAGES.values() for one in page.experiments]
    parser.add_argument("--only", choices=names, help="run this one of the page alone")
    parser.add_argument("--page-only", action="store_true", help="run nothing")
    options = parser.parse_args()
    page = PAGES[options.page]
    asked = [one for one in page.experiments if options.only in (None, one.name)]
    missing = [one for one in asked if not (options.work / one.name / "report.md").is_file()]
    if missing and not options.page_only:
        prepare(page, options.work)
        with running_service(options.work / "service", 0) as url:
            for experiment in missing:
                run(experiment, options.shared, options.work, url)
                write_page(page, options.work)
    write_page(page, options.work)


def prepare(page: Page, work: Path) -> None:
    """Make up rows for experiments without a data set, and convert the packaged model."""
    if any(one.data is None for one in page.experiments):
        work.mkdir(parents=True, exist_ok=True)
        for name, rows in zip(("train", "test"), make_transformations(TransformationSettings()), strict=True):
            (work / f"{name}.jsonl").write_bytes(to_jsonl(rows))
    if page.packaged is not None:
        folder = converted_folder(work / "service", page.packaged)
        subprocess.run([sys.executable, "-m", "workers.process.conversion", page.packaged, str(folder)], check=True)


def run(experiment: Experiment, shared: Path, work: Path, url: str) -> None:
    """One experiment, as a user would ask for it."""
    folder = work / experiment.name
    command = [str(Path(sys.executable).with_name("datainf")), *experiment.arguments(shared, work)]
    subprocess.run([*command, "--out", str(folder), "--url", url], check=True)


if __name__ == "__main__":
    main()
