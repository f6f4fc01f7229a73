"""Workers die before and after each named place of a build, and every build has to go on to its end."""

from collections import Counter
from pathlib import Path

from harness.checker import count_rows, read_scores, tell_difference
from harness.faults.chaos import ask, undisturbed
from harness.faults.dying import PLACES, SIDES, VARIANT
from harness.house import opened


def run_failpoints(folder: Path, *, seed: int, times: int, rows: int) -> tuple[Counter[str], list[str]]:
    """(deaths by place, what was found wrong): `times` builds for each side of a place, on both storages in turns."""
    armed = folder / "armed"
    wrong: list[str] = []
    deaths: Counter[str] = Counter()
    with opened(folder, variant=f"{VARIANT}{armed}") as house:
        requests, truth = undisturbed(house, seed, rows, wrong)
        for place in (f"{side} {name}" for name in PLACES for side in SIDES):
            for number in range(times):
                armed.write_text(place)
                at = 1 if "gradients" in place else number % 2
                index = ask(house, requests[at])
                job = house.wait(index["job_id"])
                deaths[place] += not armed.exists()
                armed.unlink(missing_ok=True)
                if job["state"] != "succeeded":
                    wrong.append(f"{place}: the build {job['state']}: {job.get('error')}")
                    continue
                wrong += [f"{place}: {line}" for line in count_rows(house.store(), index["id"], rows)]
                if told := tell_difference(read_scores(house, index["id"]), truth[at]):
                    wrong.append(f"{place}: the scores {told}")
                house.call("DELETE", f"/v1/indexes/{index['id']}")
            if times and not deaths[place]:
                wrong.append(f"{place}: no worker ever came there")
    return deaths, wrong
