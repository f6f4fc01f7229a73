"""What `eta_seconds` says at each tenth of a job's time, beside what was left.

    python -m benchmarks.progress --shared ../shared --write docs/benchmarks/progress.md    # fifteen minutes

Every job runs alone on a service with one worker.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.progress.jobs import Jobs
from benchmarks.progress.watched import SLACK_SECONDS, Watched, watch
from benchmarks.tables import markdown
from datainf_client import Client
from demo.service import running_service

#: What the estimate has to be within, after the first tenth.
FACTOR = 2.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and reference/")
    options.add_argument("--only", nargs="*", default=[""], help="jobs whose name has one of these in it")
    options.add_argument("--write", type=Path)
    chosen = options.parse_args()
    found = []
    with TemporaryDirectory() as folder, running_service(Path(folder) / "data", 0) as url, Client(url) as client:
        for name, begin in Jobs(client, chosen.shared, Path(folder)).all():
            if any(part in name for part in chosen.only):
                found.append(watch(client, name, begin()))
                print(_line(found[-1]), [tenth.phase for tenth in found[-1].tenths], flush=True)
    report = describe(found)
    print(report)
    if chosen.write is not None:
        chosen.write.write_text(report)


def describe(found: Sequence[Watched]) -> str:
    outside = [one.name for one in found if one.worst is None or one.worst > FACTOR]
    told = "All are." if not outside else f"Not within it: {'; '.join(outside)}."
    return (
        "\n\n".join(
            [
                "# How long a job will take",
                f"`python -m benchmarks.progress` on {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at its end. "
                "LoRA of MiniLM-L6, rows of SST-2. Seconds that `eta_seconds` said were left / seconds that were left, "
                "at each tenth of the time from the request to the end. The estimate has to be within a factor of "
                f"{FACTOR:g} after the first tenth, or off by at most {SLACK_SECONDS:g} s. {told}",
                markdown([_line(one) for one in found]),
            ]
        )
        + "\n"
    )


def _line(one: Watched) -> dict[str, str]:
    said = {
        f"{tenth.tenth}0 %": f"{'-' if tenth.said is None else f'{tenth.said:.0f}'} / {tenth.left:.0f}"
        for tenth in one.tenths
    }
    worst = "unknown" if one.worst is None else f"{one.worst:.1f}"
    return {"job": one.name, "seconds": f"{one.seconds:.0f}", **said, "worst factor": worst}


if __name__ == "__main__":
    main()
