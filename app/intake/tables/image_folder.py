"""A zip of images in folders: the class is the folder, or a metadata file says what each image is.

    cat/1.png, dog/2.jpg                            columns image, file_name, label: the folders' names, in full
    metadata.jsonl (or .csv) with `file_name`       columns image, file_name, folder, and those of the metadata

Folders that hold all files are passed over, and so is a folder train, validation or test above the classes; where there
are several of these, one has to be named. Classes are called by all folders that are left, such as Greek/alpha.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from app.intake.archives import ArchiveLimits, OpenArchive, open_archive
from app.intake.tables.csv_file import open_csv
from app.intake.tables.json_file import open_jsonl
from app.intake.tables.limits import Source, TableLimits
from app.intake.tables.table import Table
from app.intake.tables.text_source import find_source
from influence.contracts.dataset import DatasetFormat
from influence.errors import BrokenRow, EmptyFile, InvalidRequest, UnreadableFile, UnsupportedFormat
from influence.rows.images.sources import ImageFile
from influence.rows.values import ValueKind

#: How files of images are called; what they are is seen when they are decoded.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_METADATA = ("metadata.jsonl", "metadata.csv")
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
#: The metadata of one archive is held in memory.
_METADATA_BYTES = 16 << 20
_FILE_NAME, _FOLDER = "file_name", "folder"
_FORMAT = DatasetFormat(name="imagefolder")
_TEXT: frozenset[ValueKind] = frozenset({"text"})
_HINT = "Zip folders of PNG, JPEG or WebP files named after their classes, or add a metadata.jsonl with 'file_name'."


def open_image_archive(path: Path, limits: TableLimits, split: str | None) -> Table:
    """A table with one row for each image of a zip, in the order of their names, or of the metadata file's lines.

    Raises UnsafeArchive, TooLarge, UnreadableFile, UnsupportedFormat, EmptyFile and InvalidRequest.
    """
    bounds = ArchiveLimits(
        max_members=65_535,
        max_file_bytes=max(limits.images.max_bytes, _METADATA_BYTES),
        max_total_bytes=limits.max_bytes,
        member_bytes=256,
        hint="Send more images in several Parquet files, or with shorter names.",
    )
    with open_archive(path, bounds) as archive:
        listing = _Listing.of(archive.names, split)
        described = _read_metadata(archive, listing, limits) if listing.metadata else None
    found = _ImageRows(path, bounds, limits, listing, described)
    image: frozenset[ValueKind] = frozenset({"image"})
    if described is None:
        columns = ["image", _FILE_NAME, "label"]
        return Table(_FORMAT, columns, found.rows, types={"image": image, _FILE_NAME: _TEXT, "label": _TEXT})
    columns = [name for name in described.columns if name not in ("image", _FOLDER)]
    text_types = None if described.text_types is None else {**described.text_types, _FOLDER: "string"}
    return Table(
        _FORMAT,
        ["image", *columns, _FOLDER],
        found.rows,
        types={**described.types, "image": image, _FOLDER: _TEXT},
        text_types=text_types,
        problems=described.problems,
    )


@dataclass(frozen=True)
class _Listing:
    """Files of a split: full name of each image by its name below the root, and the metadata file if there is one."""

    root: str
    images: Mapping[str, str] = field(default_factory=dict)
    metadata: str | None = None

    @classmethod
    def of(cls, names: Sequence[str], split: str | None) -> "_Listing":
        wanted = [name for name in names if _is_image(name) or PurePosixPath(name).name in _METADATA]
        if not any(map(_is_image, wanted)):
            raise UnsupportedFormat("The zip archive holds no images.", hint=_HINT)
        root = _common_root(wanted)
        root = _enter_split(root, wanted, split)
        inside = [name for name in wanted if name.startswith(root)]
        described = [root + name for name in _METADATA if root + name in inside]
        nested = [name for name in inside if not _is_image(name) and name not in described]
        if nested or len(described) > 1:
            raise UnreadableFile(
                f"The archive has several metadata files, such as {(nested or described)[0][:120]!r}.",
                hint="Join them into one, beside the folders of images.",
            )
        images = {name[len(root) :]: name for name in sorted(inside) if _is_image(name)}
        if not images:
            raise EmptyFile("The archive has no images of this split.", hint="Name another one.")
        return cls(root, images, described[0] if described else None)


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _common_root(names: Sequence[str]) -> str:
    """The folders that all files lie in, but for the last one above each image where there is nothing beside it."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    shared = 0
    while all(len(parts) > shared and parts[shared] == folders[0][shared] for parts in folders):
        shared += 1
    # One folder of images is one class, not a root.
    if all(len(parts) == shared for parts in folders) and all(map(_is_image, names)) and shared:
        shared -= 1
    return "".join(f"{part}/" for part in folders[0][:shared])


def _enter_split(root: str, names: Sequence[str], split: str | None) -> str:
    tops = {name[len(root) :].split("/", 1)[0] for name in names if "/" in name[len(root) :]}
    loose = [name for name in names if "/" not in name[len(root) :]]
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


@dataclass(frozen=True)
class _ImageRows:
    """Rows of an archive, which is opened anew by each pass."""

    path: Path
    bounds: ArchiveLimits
    limits: TableLimits
    listing: _Listing
    described: Table | None

    def rows(self, _: Sequence[str] = ()) -> Iterator[Source]:
        """One row for each image, or for each line of the metadata. Raises BrokenRow and what reading raises."""
        with open_archive(self.path, self.bounds) as archive:
            if self.described is None:
                for shown in self.listing.images:
                    yield {"image": self._image(archive, shown), _FILE_NAME: shown, "label": _class_of(shown)}
                return
            for place, line in enumerate(self.described.rows(self.described.columns)):
                shown = _file_of(line, place, self.listing)
                beside = {name: value for name, value in line.items() if name != "image"}
                yield {"image": self._image(archive, shown), **beside, _FOLDER: shown.rpartition("/")[0]}

    def _image(self, archive: OpenArchive, shown: str) -> ImageFile:
        name = self.listing.images[shown]
        return ImageFile(shown, archive.size(name), lambda: archive.read(name, self.limits.images.max_bytes))


def _class_of(shown: str) -> str:
    folder = shown.rpartition("/")[0]
    if not folder:
        raise BrokenRow(f"the image {shown[:120]!r} lies in no folder, so that it has no class.", hint=_HINT)
    return folder


def _file_of(line: Source, place: int, listing: _Listing) -> str:
    found = line.get(_FILE_NAME)
    name = found.removeprefix("./") if isinstance(found, str) else ""
    if name not in listing.images:
        raise BrokenRow(
            f"Line {place} of the metadata names the file {str(found)[:120]!r}, which is not in the archive.",
            hint="'file_name' is the path of an image beside the metadata file.",
            extra={"row_index": place},
        )
    return name


def _read_metadata(archive: OpenArchive, listing: _Listing, limits: TableLimits) -> Table:
    """The metadata file as a table in memory. Raises UnreadableFile where it does not name every image."""
    name = str(listing.metadata)
    with TemporaryDirectory() as folder:
        path = Path(folder) / PurePosixPath(name).name
        path.write_bytes(archive.read(name, _METADATA_BYTES))
        source = find_source(path, limits)
        table = open_csv(source, named_tsv=False) if path.suffix == ".csv" else open_jsonl(source)
        lines = list(table.rows(table.columns))
    if _FILE_NAME not in table.columns:
        raise UnreadableFile(
            "The metadata file has no column 'file_name'.",
            hint="Name the image of each line in it, by its path beside the metadata file.",
            extra={"columns_seen": table.columns[:50]},
        )
    named = {str(line.get(_FILE_NAME)).removeprefix("./") for line in lines}
    if unnamed := [image for image in listing.images if image not in named]:
        raise UnreadableFile(
            f"{len(unnamed)} images have no line in the metadata file, such as {unnamed[0][:120]!r}.",
            hint="Write a line for each, or leave them out of the archive.",
            extra={"files": unnamed[:20]},
        )
    return replace(table, rows=lambda _: iter(lines))


def is_archive(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
