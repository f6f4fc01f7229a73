"""Which order of an audit's rows has most wrong labels at its top, on three data sets with planted ones.

    python -m benchmarks.auditing --shared ../shared --write docs/benchmarks/audits.md    # twenty minutes

Adapters are trained here, everything else goes through a service, as users meet it: upload, index, audit, table.
"""

import argparse
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.auditing.data import FLIP_SHARE, ROWS, Noisy, noisy_sets, write_rows
from benchmarks.auditing.orders import COUNTS, ORDERS, columns_of, precisions, rank_agreement
from benchmarks.tables import markdown
from datainf_client import Client
from demo.service import running_service

Found = dict[str, dict[int, float]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and reference/")
    options.add_argument("--seeds", type=int, default=2, help="trainings of each data set, each with other flips")
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--write", type=Path)
    chosen = options.parse_args()
    found: dict[str, Found] = {}
    agreements: list[dict[str, float]] = []
    with TemporaryDirectory() as folder, running_service(Path(folder) / "data", 0) as url, Client(url) as client:
        for noisy in noisy_sets(chosen.shared, seeds=chosen.seeds, epochs=chosen.epochs, rows=chosen.rows):
            columns = columns_of(audit(client, noisy, Path(folder)))
            found[noisy.name] = precisions(columns, noisy.wrong)
            agreements.append(rank_agreement(columns))
            print(noisy.name, len(noisy.wrong), json.dumps(found[noisy.name]), json.dumps(agreements[-1]), flush=True)
    report = describe(found, agreements)
    print(report)
    if chosen.write is not None:
        chosen.write.write_text(report)


def audit(client: Client, noisy: Noisy, folder: Path) -> list[dict[str, Any]]:
    """The table of an audit of all signals, in row order."""
    checkpoint = client.checkpoints.create("minilm-l6", adapter=noisy.adapter)
    dataset = client.datasets.create(write_rows(noisy.rows, folder / "train.jsonl"))
    trusted = client.datasets.create(write_rows(noisy.trusted, folder / "trusted.jsonl"))
    index = client.indexes.create(checkpoint, dataset, max_length=128).wait()
    table = folder / "audit.jsonl"
    index.audit(trusted).wait().save_table(table)
    return [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]


def describe(found: Mapping[str, Found], agreements: Sequence[Mapping[str, float]]) -> str:
    counts = ", ".join(map(str, COUNTS[:-1])) + f" and {COUNTS[-1]}"
    lines = [
        {
            "order": order,
            **{
                name: " / ".join(f"{by_order[order][count]:.2f}" for count in COUNTS)
                for name, by_order in found.items()
            },
            **{f"mean at {count}": statistics.mean(by[order][count] for by in found.values()) for count in COUNTS},
        }
        for order in ORDERS
    ]
    agreed = [
        {
            "signal": name,
            "lowest": min(one[name] for one in agreements),
            "highest": max(one[name] for one in agreements),
        }
        for name in agreements[0]
    ]
    return (
        "\n\n".join(
            [
                "# The order of an audit",
                f"`python -m benchmarks.auditing` on {os.cpu_count()} cores. Share of wrong labels among the first "
                f"{counts} rows. LoRA adapters of MiniLM-L6 on up to 2,000 rows, {FLIP_SHARE:.0%} of whose labels were "
                "flipped, another training and other flips for each seed; the reference adapter of SST-2 has a fifth "
                "flipped. Influence is that on 200 rows with their own labels.",
                markdown(lines),
                "Rank correlation with the loss: what is near 1 says the same thing once more.",
                markdown(agreed),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
