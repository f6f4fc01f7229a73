"""Every kind of evaluation on public data, by the command that users run, onto pages of docs.

    python -m benchmarks.evaluations --shared ../shared      # hours on two cores; goes on where it ended
    python -m benchmarks.evaluations --page early_checkpoints
    python -m benchmarks.evaluations --page-only             # the page from reports that are there

Starts a service of its own, runs `datainf evaluate` for every experiment of the page that has no report yet, and writes
docs/benchmarks/evaluations.md, or early_checkpoints.md, with what the reports say.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.evaluations.experiments import PAGES, Experiment
from benchmarks.evaluations.page import write_page
from demo.service import running_service

_SHARED = Path(__file__).resolve().parents[3] / "shared"


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=_SHARED, help="folder with data/")
    parser.add_argument(
        "--work", type=Path, default=Path(".datainf/evaluations"), help="reports, and the service's data"
    )
    parser.add_argument("--page", choices=list(PAGES), default="evaluations", help="which experiments")
    parser.add_argument("--page-only", action="store_true", help="run nothing")
    options = parser.parse_args()
    page = PAGES[options.page]
    missing = [one for one in page.experiments if not (options.work / one.name / "report.md").is_file()]
    if missing and not options.page_only:
        with running_service(options.work / "service", 0) as url:
            for experiment in missing:
                run(experiment, options.shared, options.work / experiment.name, url)
                write_page(page, options.work)
    write_page(page, options.work)


def run(experiment: Experiment, shared: Path, folder: Path, url: str) -> None:
    """One experiment, as a user would ask for it."""
    command = [str(Path(sys.executable).with_name("datainf")), *experiment.arguments(shared), "--out", str(folder)]
    subprocess.run([*command, "--url", url], check=True)


if __name__ == "__main__":
    main()
