"""Which files of an archive are images, below which folder they lie, and which files say what they are.

Passed over, as the `datasets` library does: files and folders whose names begin with a dot, such as the copies that
notebooks and macOS leave, and `__MACOSX`. Images of formats that are not read are refused: training may have read them.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from influence.contracts.dataset import RowProblem
from influence.errors import EmptyFile, InvalidRequest, UnreadableFile, UnsupportedFormat
from influence.rows.findings import list_names

#: How files of images are called; what they are is seen when they are decoded.
ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp")
#: Files of a caption each, called as its image.
_CAPTIONS = (".txt", ".caption")
_UNREAD_IMAGES = frozenset(
    {
        *(".apng", ".avif", ".bmp", ".dib", ".dng", ".exr", ".gif", ".heic", ".heif", ".hdr", ".ico", ".j2k", ".jp2"),
        *(".jxl", ".mpo", ".nef", ".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".psd", ".qoi", ".svg", ".tga", ".tif"),
        ".tiff",
    }
)
_METADATA = ("metadata.jsonl", "metadata.csv")
#: Files that may say what images are, in ways that are not read.
_ANSWERS = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx", ".cls")
_LITTER = frozenset({"__MACOSX", "__pycache__"})
_SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
HINT = (
    "Zip folders of PNG, JPEG or WebP files named after their classes; or add a metadata.jsonl with 'file_name', or a "
    "caption beside each image, 1.txt for 1.png."
)


@dataclass(frozen=True)
class Listing:
    """Files of a split by their names below one folder: full name of each image and of each caption (by its image),
    and the metadata file if there is one. `others` are images of other splits that the metadata speaks of, too."""

    images: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    metadata: str | None = None
    others: frozenset[str] = frozenset()
    problems: tuple[RowProblem, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str], split: str | None) -> "Listing":
        """Raises UnsupportedFormat, EmptyFile, UnreadableFile and InvalidRequest."""
        seen = [name for name in names if not _is_hidden(name)]
        wanted = [name for name in seen if is_image(name) or PurePosixPath(name).name in _METADATA]
        if not any(map(is_image, wanted)):
            _refuse_unread(seen)
            raise UnsupportedFormat("The zip archive holds no images.", hint=HINT)
        whole = _common_root(wanted)
        root = _enter_split(whole, wanted, split)
        inside = [name for name in seen if name.startswith(root)]
        _refuse_unread(inside)
        described = _find_metadata(whole, root, wanted)
        base = root if described is None else described.rpartition("/")[0] + "/" * ("/" in described)
        images = {name[len(base) :]: name for name in sorted(inside) if is_image(name)}
        if not images:
            raise EmptyFile("The archive has no images of this split.", hint="Name another one.")
        captions = {} if described is not None else _find_captions(images, inside)
        elsewhere = (name for name in wanted if is_image(name) and name.startswith(base))
        read = {*images.values(), *captions.values(), described}
        unread = [name for name in inside if name not in read]
        if described is None and not captions:
            _refuse_answers_beside(images, unread)
        return cls(
            images,
            captions,
            described,
            frozenset(name[len(base) :] for name in elsewhere).difference(images),
            _tell_unread(unread, [name for name in names if _is_hidden(name)]),
        )

    def find(self, written: object) -> str | None:
        """The image or the one of another split that a line of the metadata names: with either slash, and in
        whichever of its forms an accented letter is written."""
        if not isinstance(written, str):
            return None
        for name in (written, written.replace("\\", "/")):
            name = name.removeprefix("./")
            if name in self.images or name in self.others:
                return name
            if (found := self._by_form.get(unicodedata.normalize("NFC", name))) is not None:
                return found
        return None

    @cached_property
    def _by_form(self) -> dict[str, str]:
        """Names by one form of their letters; those that would be the same are left out."""
        names = [*self.images, *self.others]
        count = Counter(unicodedata.normalize("NFC", name) for name in names)
        return {form: name for name in names if count[form := unicodedata.normalize("NFC", name)] == 1}


def is_image(name: str) -> bool:
    """Whether a file is called as images are that are read."""
    return name.lower().endswith(ENDINGS)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part in _LITTER for part in name.split("/"))


def _refuse_unread(names: Iterable[str]) -> None:
    """Raise UnsupportedFormat for images of a format that is not read: left out, they would be missed by nobody."""
    unread = [name for name in names if PurePosixPath(name).suffix.lower() in _UNREAD_IMAGES]
    if unread:
        raise UnsupportedFormat(
            f"{len(unread)} images of the archive are of formats that are not read, such as {unread[0][:120]!r}.",
            hint="Save them as PNG, or leave them out of the archive where training did not read them.",
            extra={"files": unread[:20]},
        )


def _refuse_answers_beside(images: Iterable[str], unread: Iterable[str]) -> None:
    """Raise UnreadableFile where the folder of all images would be their one class, and a file beside them may say
    which they are of."""
    folders = {name.rpartition("/")[0] for name in images}
    answers = [name for name in unread if PurePosixPath(name).suffix.lower() in _ANSWERS]
    if len(folders) > 1 or not answers:
        return
    where = f"the folder {next(iter(folders))[:120]!r}, which would be their one class" if any(folders) else "no folder"
    raise UnreadableFile(
        f"All images lie in {where}, and {answers[0][:120]!r} was not read.",
        hint="If it says what they are, write that into a metadata.csv or metadata.jsonl: a line for each image, with "
        "'file_name', its path beside that file, and a column 'label' or 'text'. Else leave it out of the archive.",
        extra={"files": answers[:20]},
    )


def _common_root(names: Sequence[str]) -> str:
    """The folders that all files lie in, but for the last one above each image where there is nothing beside it."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    shared = 0
    while all(len(parts) > shared and parts[shared] == folders[0][shared] for parts in folders):
        shared += 1
    # One folder of images is one class, not a root.
    if all(len(parts) == shared for parts in folders) and all(map(is_image, names)) and shared:
        shared -= 1
    return "".join(f"{part}/" for part in folders[0][:shared])


def _enter_split(root: str, names: Sequence[str], split: str | None) -> str:
    tops = {name[len(root) :].split("/", 1)[0] for name in names if "/" in name[len(root) :]}
    loose = [name for name in names if is_image(name) and "/" not in name[len(root) :]]
    own = root.rstrip("/").rsplit("/", 1)[-1].lower()
    if split is not None and own in _SPLITS and _SPLITS[own] == _SPLITS.get(split.lower(), split):
        return root
    found = {top: _SPLITS[top.lower()] for top in sorted(tops) if top.lower() in _SPLITS}
    if split is not None and (chosen := [top for top, name in found.items() if split in (top, name)]):
        return f"{root}{chosen[0]}/"
    if split is not None or (len(found) > 1 and len(found) == len(tops) and not loose):
        raise InvalidRequest(
            f"The archive holds the splits {', '.join(found) or 'of no name'}; one of them must be named.",
            hint='Send "split" with one of them.' if found else 'Leave "split" out.',
            extra={"splits": [*found]},
        )
    return f"{root}{next(iter(found))}/" if len(found) == len(tops) == 1 and not loose else root


def _find_metadata(whole: str, root: str, names: Sequence[str]) -> str | None:
    """The one metadata file of a split: in its folder, or beside the folders of all splits. Raises UnreadableFile."""
    places = dict.fromkeys((root, whole))
    described = [place + name for place in places for name in _METADATA if place + name in names]
    inside = [name for name in names if name.startswith(root) and not is_image(name)]
    nested = [name for name in inside if name not in described]
    if nested or len(described) > 1:
        raise UnreadableFile(
            f"The archive has several metadata files, such as {(nested or described)[0][:120]!r}.",
            hint="Join them into one, beside the folders of images.",
        )
    return described[0] if described else None


def _find_captions(images: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """The caption file of each image, where there are such files. Raises UnreadableFile where some images have none."""
    there = {_stem(name): name for name in names if name.lower().endswith(_CAPTIONS)}
    found = {shown: there[_stem(name)] for shown, name in images.items() if _stem(name) in there}
    without = [shown for shown in images if shown not in found]
    if found and without:
        raise UnreadableFile(
            f"{len(without)} images have no caption file beside them, such as {without[0][:120]!r}; others have.",
            hint="Write one for each, with the caption that training read. Where the folders are classes, leave the "
            "text files out.",
            extra={"files": without[:20]},
        )
    return found


def _stem(name: str) -> str:
    return name[: -len(PurePosixPath(name).suffix) or None]


def _tell_unread(left: Sequence[str], hidden: Sequence[str]) -> tuple[RowProblem, ...]:
    """What of the archive was not read, in a problem: a caption or a list of labels may be among it."""
    unread = [*left, *(name for name in hidden if is_image(name) and not PurePosixPath(name).name.startswith("._"))]
    if not unread:
        return ()
    message = f"Files of the archive that were not read: {list_names(unread)}."
    return (RowProblem(code="files_not_read", count=len(unread), rows=(), message=message, names=tuple(unread[:20])),)
