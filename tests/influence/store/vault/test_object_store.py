"""Files in an object store: whole or not there, checked, and gone when removed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import obstore
import pytest
from support.processes.object_store import Bucket

from influence.errors import FilesUnavailable, Internal
from influence.store.data.vault.object_store import MANIFEST, ObjectVault
from influence.store.data.vault.port import Manifest

ADDRESS = "datasets/ds_1"
#: Publishes a file and brings it back; prints by how many bytes the peak of the process's memory rose.
ROUND_TRIP = """
import resource, sys
from pathlib import Path
from influence.store.data.vault.object_store import ObjectVault
url, made, brought = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
vault = ObjectVault(url)
vault.holds("datasets/warm")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
vault.publish({"rows": made}, "datasets/ds_1")
assert vault.fetch("datasets/ds_1", brought)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
Make = Callable[..., dict[str, Path]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Files with these contents."""

    def write(**contents: bytes) -> dict[str, Path]:
        folder = tmp_path / f"made-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return {name: folder / name for name in contents}

    return write


def fetch(vault: ObjectVault, folder: Path, address: str = ADDRESS) -> dict[str, bytes] | None:
    folder.mkdir(exist_ok=True)
    if not vault.fetch(address, folder):
        return None
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_published_comes_back_as_it_was(vault: ObjectVault, make: Make, tmp_path: Path) -> None:
    large = os.urandom((16 << 20) + 5)
    files = make(rows=large, empty=b"")
    vault.publish({**files, "sub/rows": files["rows"]}, ADDRESS)
    assert fetch(vault, tmp_path / "out") == {"rows": large, "empty": b"", "sub/rows": large}
    assert list(vault.addresses("datasets")) == [ADDRESS]
    assert list(vault.addresses("adapters")) == []
    assert fetch(vault, tmp_path / "none", "datasets/ds_2") is None


def test_what_is_removed_is_gone(vault: ObjectVault, make: Make, tmp_path: Path) -> None:
    vault.publish(make(rows=b"a"), ADDRESS)
    vault.remove(ADDRESS)
    assert not vault.holds(ADDRESS)
    assert fetch(vault, tmp_path / "out") is None
    assert list(vault.addresses("datasets")) == []
    vault.remove(ADDRESS)  # again harms nobody


def test_half_a_publication_is_not_there_and_is_swept(bucket: Bucket, make: Make, tmp_path: Path) -> None:
    vault, files = ObjectVault(bucket.url), make(rows=b"a", hashes=b"b")
    vault.publish(make(rows=b"kept"), "datasets/ds_kept")
    files["hashes"].unlink()
    with pytest.raises(FileNotFoundError):
        vault.publish(files, ADDRESS)
    assert not vault.holds(ADDRESS)
    assert fetch(vault, tmp_path / "out") is None
    assert any(path.startswith(ADDRESS) for path in bucket.paths())
    assert vault.sweep(older_than_seconds=3600) == 0
    assert vault.sweep(older_than_seconds=-3600) == 1
    assert not any(path.startswith(ADDRESS) for path in bucket.paths())
    assert fetch(vault, tmp_path / "kept", "datasets/ds_kept") == {"rows": b"kept"}


def test_publishing_at_once_and_again_leaves_one_whole_publication(bucket: Bucket, make: Make, tmp_path: Path) -> None:
    files = make(rows=b"a" * 1000)
    publishers = [Thread(target=ObjectVault(bucket.url).publish, args=(files, ADDRESS)) for _ in range(4)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    vault = ObjectVault(bucket.url)
    assert fetch(vault, tmp_path / "out") == {"rows": b"a" * 1000}
    before = bucket.paths()
    vault.publish(files, ADDRESS)
    assert bucket.paths() == before
    vault.sweep(older_than_seconds=-3600)
    vault.remove(ADDRESS)
    assert bucket.paths() == []


def test_a_file_that_was_changed_is_found_out(vault: ObjectVault, make: Make, tmp_path: Path) -> None:
    vault.publish(make(rows=b"abc"), ADDRESS)
    name = f"{ADDRESS}/{read_manifest(vault).generation}/rows"
    obstore.put(vault._store, name, b"abd")
    with pytest.raises(Internal, match="checksum"):
        fetch(vault, tmp_path / "out")


def test_a_file_that_is_gone_is_said_and_the_same_content_heals_it(
    vault: ObjectVault, make: Make, tmp_path: Path
) -> None:
    files = make(rows=b"abc")
    vault.publish(files, ADDRESS)
    obstore.delete(vault._store, f"{ADDRESS}/{read_manifest(vault).generation}/rows")
    with pytest.raises(Internal, match="a file is gone"):
        fetch(vault, tmp_path / "out")
    vault.publish(files, ADDRESS)
    assert fetch(vault, tmp_path / "again") == {"rows": b"abc"}


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", ""])
def test_a_name_that_leads_elsewhere_is_refused(vault: ObjectVault, make: Make, tmp_path: Path, name: str) -> None:
    vault.publish(make(rows=b"abc"), ADDRESS)
    manifest = read_manifest(vault)
    forged = manifest.model_copy(update={"files": {name: manifest.files["rows"]}})
    obstore.put(vault._store, f"{ADDRESS}/{MANIFEST}", forged.model_dump_json().encode())
    with pytest.raises(Internal, match="leads elsewhere"):
        fetch(vault, tmp_path / "deep")
    assert not list(tmp_path.rglob("evil"))


def test_a_manifest_that_cannot_be_read_is_said_and_can_be_removed(vault: ObjectVault, tmp_path: Path) -> None:
    obstore.put(vault._store, f"{ADDRESS}/{MANIFEST}", b"{")
    with pytest.raises(Internal, match="manifest"):
        fetch(vault, tmp_path / "out")
    vault.remove(ADDRESS)
    assert fetch(vault, tmp_path / "out") is None


def test_who_writes_first_decides(vault: ObjectVault) -> None:
    assert vault.write_once("keys.secret", b"first") == b"first"
    assert vault.write_once("keys.secret", b"second") == b"first"


def test_a_store_that_does_not_answer_is_said_in_our_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "secretive")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    with pytest.raises(FilesUnavailable, match="does not answer") as refused:
        ObjectVault("s3://nobody/here").holds(ADDRESS)
    assert "secret" not in str(refused.value.problem())


def test_memory_does_not_grow_with_a_file(bucket: Bucket, tmp_path: Path) -> None:
    size = 160 << 20
    with (tmp_path / "rows").open("wb") as file:
        file.truncate(size)
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", ROUND_TRIP, bucket.url, str(tmp_path / "rows"), str(tmp_path / "out")]
    grown = int(subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout)
    assert grown < 110 << 20
    assert (tmp_path / "out" / "rows").stat().st_size == size


def read_manifest(vault: ObjectVault) -> Manifest:
    return Manifest.model_validate_json(bytes(obstore.get(vault._store, f"{ADDRESS}/{MANIFEST}").bytes()))
