"""What parts of tokens by their losses take, beside re-ranking the same rows from their gradients.

    python -m benchmarks.index.tokens --write docs/benchmarks/tokens.md

Each round builds a compact index of its own rows, so that no gradient is kept from before, and asks one question: the
answer's phase "exact" computes the gradients of all of its rows, its phase "tokens" the parts of the twenty shown.
"""

import argparse
import os
import subprocess
import sys
import warnings
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from benchmarks.index.http import KEEPS_NO_POINTS, checked, make_index, pack, wait_for
from benchmarks.tables import markdown
from demo.lm.lessons import Lesson, make_lessons
from demo.service import running_service
from influence.checkpoint_files.base_models import converted_folder, find_packaged

ALIAS = "smollm2-135m"
#: Rows of an index: not more than re-ranking looks at for ten helpful and ten harmful ones, so that it takes them all.
ROWS, SHOWN = 80, 20
_SECONDS = 1200.0

Line = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="indexes of 80 rows, three at most")
    parser.add_argument("--home", type=Path, default=Path(".datainf/bench-tokens"), help="where the model is kept")
    parser.add_argument("--write", type=Path, help="page to write")
    options = parser.parse_args()
    home = options.home.resolve()
    adapter = prepare(home)
    lessons = make_lessons(7)
    with (
        running_service(home / "service", 0, KEEPS_NO_POINTS) as url,
        httpx.Client(base_url=url, timeout=60.0) as client,
    ):
        lines = [
            measure(client, adapter, lessons[place * ROWS : (place + 1) * ROWS], lessons[place - 1])
            for place in range(options.rounds)
        ]
    _report(lines, options.write)


def prepare(home: Path) -> bytes:
    """The packaged model converted for the service below `home`, once, and an adapter of it with weights of chance, as
    a zip: what is computed takes as long whatever they are."""
    find_packaged(ALIAS)
    base = converted_folder(home / "service", ALIAS)
    subprocess.run([sys.executable, "-m", "workers.process.conversion", ALIAS, str(base)], check=True)
    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    lora = LoraConfig(
        r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    model: Any = get_peft_model(plain, lora)
    model.peft_config["default"].base_model_name_or_path = ALIAS
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # peft looks the base up on the hub to see whether its vocabulary changed; there is no hub here.
        warnings.simplefilter("ignore", UserWarning)
        model.save_pretrained(folder, safe_serialization=True)
        return pack(Path(folder))


def measure(client: httpx.Client, adapter: bytes, rows: list[Lesson], question: Lesson) -> Line:
    """Milliseconds of both phases of one question to an index of its own, and their ratio for the shown rows."""
    sent = [{"id": str(place), "prompt": row.prompt, "completion": row.completion} for place, row in enumerate(rows)]
    index = make_index(client, adapter, sent, base_model=ALIAS, seconds=_SECONDS, storage="compact")
    asked = {
        "examples": [{"prompt": question.prompt, "completion": question.completion}],
        "k": SHOWN // 2,
        "include": ["tokens"],
        "tokens_by": "loss",
    }
    made = checked(client.post(f"/v1/indexes/{index}/queries", json=asked))
    wait_for(client, made["job_id"], _SECONDS)
    query = checked(client.get(f"/v1/queries/{made['id']}"))
    (result,) = query["results"]
    shown = len(result["helpful"]) + len(result["harmful"])
    exact, tokens = query["milliseconds"]["exact"], query["milliseconds"]["tokens"]
    reranking = exact * shown / len(rows)
    return {
        "rows re-ranked": len(rows),
        "exact ms": exact,
        "rows with tokens": shown,
        "tokens ms": tokens,
        "re-ranking as many ms": reranking,
        "times re-ranking": tokens / reranking,
    }


def _report(lines: list[Line], page: Path | None) -> None:
    times = median(line["times re-ranking"] for line in lines)
    text = f"""# Tokens by their losses

`python -m benchmarks.index.tokens` on {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} when it ended.
SmolLM2-135M with LoRA of rank 8 on query and value, rows of the demo's three kinds; each line is an index of its own.

{markdown(lines)}

`include: ["tokens"], tokens_by: "loss"` for {SHOWN} rows takes {times:.2f} times what re-ranking as many rows
from their gradients takes (median).
"""
    print(text)
    if page is not None:
        page.write_text(text)


if __name__ == "__main__":
    main()
