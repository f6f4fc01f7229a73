"""A corpus of archives, made here: the harmless are unpacked, each malicious one is refused with its own code."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from app.intake.archives import ArchiveLimits, extract_files
from influence.checkpoint_files.adapters.folders import choose_files
from influence.errors import AdapterConfigRefused, PickleRefused, TooLarge, UnreadableFile, UnsafeArchive, UploadRefused

WANTED = ("adapter_config.json", "adapter_model.safetensors")
TRAINING = (
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "all_results.json",
    "trainer_log.jsonl",
)
LIMITS = ArchiveLimits(max_members=20, max_file_bytes=64 << 20, max_total_bytes=96 << 20)
Member = tuple[str | zipfile.ZipInfo, bytes]


def make_zip(*members: Member, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content, compress_type=compression)
    return buffer.getvalue()


def good(prefix: str = "") -> tuple[Member, Member]:
    return (f"{prefix}adapter_config.json", b"{}"), (f"{prefix}adapter_model.safetensors", b"weights")


def named(name: str) -> Callable[[], bytes]:
    return lambda: make_zip(*good(), (name, b"x"))


def rename(content: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    return content.replace(old, new)


def special(mode: int) -> bytes:
    info = zipfile.ZipInfo("adapter_model.safetensors")
    info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    return make_zip(good()[0], (info, b"/etc/passwd"))


def duplicate(first: str, second: str) -> bytes:
    """Two members under one name; the writer would warn, so the second is renamed in the bytes."""
    stand_in = "z" * len(second)
    return rename(make_zip((first, b"1"), (stand_in, b"2")), stand_in.encode(), second.encode())


def flagged(bits: int) -> bytes:
    content = bytearray(make_zip(*good()))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(signature) + offset
        content[place : place + 2] = struct.pack("<H", bits)
    return bytes(content)


def overlapping() -> bytes:
    """Two entries of the central directory that point at one member."""
    content = bytearray(make_zip(*good()))
    second = content.rfind(b"PK\x01\x02")
    content[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(content)


def bomb(size: int) -> bytes:
    return make_zip(good()[0], ("adapter_model.safetensors", bytes(size)))


def lying_bomb() -> bytes:
    """Claims to hold 10 bytes and holds 40 MiB."""
    size = 40 << 20
    return bomb(size).replace(struct.pack("<I", size), struct.pack("<I", 10))


def crowd() -> bytes:
    return make_zip(*good(), *((f"file-{number}", b"") for number in range(30)))


def hidden_crowd() -> bytes:
    """Says that it has two members where it has hundreds."""
    content = bytearray(make_zip(*good(), *((f"{'n' * 200}{number}", b"") for number in range(200))))
    end = content.rfind(b"PK\x05\x06")
    content[end + 8 : end + 12] = struct.pack("<HH", 2, 2)
    return bytes(content)


def zip64_end() -> bytes:
    content = make_zip(*good())
    end = content.rfind(b"PK\x05\x06")
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 2, 2, 1 << 20, 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    return content[:end] + record + locator + content[end:]


def corrupt() -> bytes:
    content = bytearray(make_zip((WANTED[1], bytes(range(256)) * 40), good()[0], compression=zipfile.ZIP_STORED))
    content[200] ^= 0xFF
    return bytes(content)


def broken_stream() -> bytes:
    packed = zlib.compress(b"weights")[2:-4]
    return make_zip(*good()).replace(packed, b"\xff" * len(packed))


REFUSED: dict[str, tuple[Callable[[], bytes], type[UploadRefused]]] = {
    "parent folder": (named("../evil"), UnsafeArchive),
    "parent folder inside": (named("a/../../evil"), UnsafeArchive),
    "absolute": (named("/etc/evil"), UnsafeArchive),
    "double slash": (named("a//b"), UnsafeArchive),
    "dot part": (named("./adapter_config.json"), UnsafeArchive),
    "drive": (named("C:evil"), UnsafeArchive),
    "backslash": (lambda: rename(make_zip(*good(), ("a#evil", b"x")), b"a#evil", b"a\\evil"), UnsafeArchive),
    "control character": (named("a\nb"), UnsafeArchive),
    "nul": (lambda: rename(make_zip(*good(), ("a#evil", b"x")), b"a#evil", b"a\0evil"), UnsafeArchive),
    "very long name": (named("n" * 2000), UnsafeArchive),
    "duplicate": (lambda: duplicate("adapter_config.json", "adapter_config.json"), UnsafeArchive),
    "duplicate by case": (lambda: duplicate("adapter_config.json", "Adapter_Config.JSON"), UnsafeArchive),
    "symlink": (lambda: special(stat.S_IFLNK), UnsafeArchive),
    "fifo": (lambda: special(stat.S_IFIFO), UnsafeArchive),
    "device": (lambda: special(stat.S_IFCHR), UnsafeArchive),
    "encrypted": (lambda: flagged(0x1), UnsafeArchive),
    "strongly encrypted": (lambda: flagged(0x41), UnsafeArchive),
    "lzma": (lambda: make_zip(*good(), compression=zipfile.ZIP_LZMA), UnsafeArchive),
    "bzip2": (lambda: make_zip(*good(), compression=zipfile.ZIP_BZIP2), UnsafeArchive),
    "overlapping members": (overlapping, UnsafeArchive),
    "zip64 end record": (zip64_end, UnsafeArchive),
    "bomb by ratio": (lambda: bomb(50 << 20), UnsafeArchive),
    "bomb by size": (
        lambda: make_zip(good()[0], (WANTED[1], bytes(70 << 20)), compression=zipfile.ZIP_STORED),
        TooLarge,
    ),
    "bomb that lies": (lying_bomb, UnreadableFile),
    "too many members": (crowd, TooLarge),
    "hidden members": (hidden_crowd, TooLarge),
    "pickled adapter": (lambda: make_zip(good()[0], ("adapter_model.bin", b"\x80")), PickleRefused),
    "pickled adapter in a folder": (
        lambda: make_zip(good("checkpoint-10/")[0], ("checkpoint-10/adapter_model.bin", b"\x80")),
        PickleRefused,
    ),
    "no zip": (lambda: b"this is no zip", UnreadableFile),
    "empty": (lambda: b"", UnreadableFile),
    "cut short": (lambda: make_zip(*good())[:-30], UnreadableFile),
    "front cut off": (lambda: make_zip(*good())[60:], UnreadableFile),
    "wrong checksum": (corrupt, UnreadableFile),
    "broken stream": (broken_stream, UnreadableFile),
}


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[[bytes], list[str]]:
    def run(content: bytes) -> list[str]:
        archive, folder = tmp_path / "upload.zip", tmp_path / "out"
        archive.write_bytes(content)
        folder.mkdir()
        return extract_files(archive, folder, choose_files, LIMITS)

    return run


@pytest.mark.parametrize("case", REFUSED)
def test_malicious_archive_is_refused_with_its_code(
    case: str, unpack: Callable[[bytes], list[str]], tmp_path: Path
) -> None:
    make, error = REFUSED[case]
    with pytest.raises(error) as caught:
        unpack(make())
    assert type(caught.value) is error
    assert caught.value.hint
    assert {path.name for path in tmp_path.iterdir()} == {"upload.zip", "out"}
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= LIMITS.max_total_bytes


@pytest.mark.parametrize("prefix", ["", "my-adapter/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_plain_archive_is_unpacked(
    prefix: str, compression: int, unpack: Callable[[bytes], list[str]], tmp_path: Path
) -> None:
    extras = ((f"{prefix}LICENSE", b"hello"), (f"{prefix}sub/notes.txt", b""), ("__MACOSX/._x", b"litter"))
    assert sorted(unpack(make_zip(*good(prefix), *extras, compression=compression))) == sorted(WANTED)
    assert (tmp_path / "out" / WANTED[1]).read_bytes() == b"weights"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(WANTED)


@pytest.mark.parametrize("prefix", ["a/b/", "run/checkpoint-500/", "out/2026-01-01/lora/"])
def test_adapter_is_found_wherever_its_configuration_is(prefix: str, unpack: Callable[[bytes], list[str]]) -> None:
    assert sorted(unpack(make_zip(*good(prefix), ("a/notes.txt", b"x")))) == sorted(WANTED)


@pytest.mark.parametrize("prefix", ["", "checkpoint-10/"])
def test_training_state_is_skipped_unread(prefix: str, unpack: Callable[[bytes], list[str]], tmp_path: Path) -> None:
    """Of what a trainer leaves beside an adapter nothing is opened: not even what is broken or would be too much."""
    state = [(f"{prefix}{name}", b"\x80\x04broken") for name in TRAINING]
    state += [(f"{prefix}runs/events.out", b"x"), (f"{prefix}global_step10/mp_rank_00.pt", bytes(50 << 20))]
    assert sorted(unpack(make_zip(*good(prefix), *state))) == sorted(WANTED)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(WANTED)


def test_pickled_copy_beside_safetensors_is_skipped(unpack: Callable[[bytes], list[str]]) -> None:
    assert sorted(unpack(make_zip(*good(), ("adapter_model.bin", b"\x80")))) == sorted(WANTED)


def test_tokenizer_lies_beside_the_adapter_or_around_it(unpack: Callable[[bytes], list[str]], tmp_path: Path) -> None:
    outer = (("run/tokenizer.json", b"outer"), ("tokenizer.json", b"outermost"), ("other/tokenizer.json", b"x"))
    found = unpack(make_zip(*good("run/last/"), *outer))
    assert "tokenizer.json" in found
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == b"outer"


def test_tokenizer_of_its_own_wins_over_one_around_it(unpack: Callable[[bytes], list[str]], tmp_path: Path) -> None:
    unpack(make_zip(*good("run/"), ("run/chat_template.jinja", b"own"), ("tokenizer.json", b"outer")))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*WANTED, "chat_template.jinja"]


def test_outermost_adapter_is_meant_and_equals_are_named(unpack: Callable[[bytes], list[str]], tmp_path: Path) -> None:
    inner = (("reference/adapter_config.json", b"{}"), ("reference/adapter_model.safetensors", b"other"))
    unpack(make_zip(*good(), *inner))
    assert (tmp_path / "out" / WANTED[1]).read_bytes() == b"weights"
    with pytest.raises(AdapterConfigRefused, match="2 adapters: a, b") as caught:
        choose_files([*(f"a/{name}" for name in WANTED), *(f"b/{name}" for name in WANTED)])
    assert "Send one of these folders" in caught.value.hint


def test_plain_model_is_told_how_it_is_sent() -> None:
    with pytest.raises(AdapterConfigRefused) as caught:
        choose_files(["config.json", "model.safetensors"])
    assert "'trainable'" in caught.value.hint
