"""Compressed files: read as what they hold, within the limits of what they expand to."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from app.intake.tables.opening import open_table
from influence.errors import DatainfError, TooLarge

ROWS = [{"text": f"row {place}", "label": place % 2} for place in range(300)]
LIMITS = TableLimits(max_bytes=1 << 20)
CONTENTS = {
    "a.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "a.json": json.dumps(ROWS, indent=1),
    "a.csv": "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS),
    "a.tsv": "text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in ROWS),
}


def zstd(content: bytes) -> Any:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd}


@pytest.mark.parametrize("ending", COMPRESSORS)
@pytest.mark.parametrize("name", CONTENTS)
def test_a_compressed_file_is_the_same_data_set(tmp_path: Path, name: str, ending: str) -> None:
    plain, packed = tmp_path / name, tmp_path / f"{name}{ending}"
    plain.write_text(CONTENTS[name])
    packed.write_bytes(COMPRESSORS[ending](CONTENTS[name].encode("utf-16" if name == "a.csv" else "utf-8")))
    found = [accept_dataset(path, limits=LIMITS, destination_root=tmp_path) for path in (plain, packed)]
    assert found[0].id == found[1].id
    assert found[1].format is not None
    assert found[1].format.compression == {".gz": "gzip", ".zst": "zstd"}[ending]


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_a_bomb_is_refused_while_it_expands(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.jsonl{ending}"
    path.write_bytes(COMPRESSORS[ending](b'{"text": "a"}\n' * 1_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(TooLarge, match="when expanded"):
        open_table(path, limits=LIMITS)


@pytest.mark.parametrize("ending", COMPRESSORS)
@pytest.mark.parametrize("name", CONTENTS)
def test_damaged_files_raise_only_our_errors(tmp_path: Path, name: str, ending: str) -> None:
    whole = COMPRESSORS[ending](CONTENTS[name].encode())
    path = tmp_path / f"{name}{ending}"
    for damaged in (whole[: len(whole) // 2], whole[:9], whole[:40] + b"\0" * 40 + whole[80:]):
        path.write_bytes(damaged)
        with pytest.raises(DatainfError):
            list(open_table(path, limits=LIMITS).rows([]))


def test_what_is_not_expanded_is_named(tmp_path: Path) -> None:
    parquet = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS[:2]), parquet)
    for name, content, said in [
        ("a.parquet.gz", gzip.compress(parquet.read_bytes()), "compressed Parquet"),
        ("a.jsonl.gz", gzip.compress(gzip.compress(b"{}")), "compressed twice"),
        ("a.jsonl.bz2", b"BZh91AY", "bzip2"),
        ("a.jsonl.xz", b"\xfd7zXZ\0", "xz"),
        ("a.zip", b"PK\x03\x04", "zip"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DatainfError, match=said):
            open_table(tmp_path / name, limits=LIMITS)


def test_an_empty_compressed_file_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b" \n"))
    with pytest.raises(DatainfError) as caught:
        open_table(path, limits=LIMITS)
    assert caught.value.code == "empty_file"
