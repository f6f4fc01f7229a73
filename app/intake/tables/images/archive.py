"""A zip of images in folders: the class is the folder, or files beside the images say what each of them is.

    cat/1.png, dog/2.jpg                            columns image, file_name, label: the folders' names, in full
    metadata.jsonl (or .csv) with `file_name`       columns image, file_name, folder, and those of the metadata
    1.png, 1.txt                                    columns image, file_name, text: the caption, folder

Folders that hold all files are passed over, and so is a folder train, validation or test above the classes; where there
are several of these, one has to be named. Classes are called by all folders that are left, such as Greek/alpha.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from app.intake.archives import ArchiveLimits, OpenArchive, open_archive
from app.intake.tables.csv_file import open_csv
from app.intake.tables.images.listing import HINT, Listing
from app.intake.tables.json_file import open_jsonl
from app.intake.tables.limits import Source, TableLimits
from app.intake.tables.table import Table
from app.intake.tables.text_source import find_source
from influence.contracts.dataset import DatasetFormat
from influence.errors import BrokenRow, UnreadableFile
from influence.rows.images.sources import ImageFile
from influence.rows.values import ValueKind

#: The metadata of one archive is held in memory.
_METADATA_BYTES = 16 << 20
_CAPTION_BYTES = 1 << 16
_FILE_NAME, _FOLDER, _CAPTION = "file_name", "folder", "text"
_FORMAT = DatasetFormat(name="imagefolder")
_TEXT: frozenset[ValueKind] = frozenset({"text"})
_IMAGE: frozenset[ValueKind] = frozenset({"image"})


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
        is_read_in_place=True,
    )
    with open_archive(path, bounds) as archive:
        listing = Listing.of(archive.names, split)
        described = _read_metadata(archive, listing, limits) if listing.metadata else None
    found = _ImageRows(path, bounds, limits, listing, described)
    if described is None:
        beside = [_CAPTION, _FOLDER] if listing.captions else ["label"]
        columns = ["image", _FILE_NAME, *beside]
        types = {name: _IMAGE if name == "image" else _TEXT for name in columns}
        return Table(_FORMAT, columns, found.rows, types=types, problems=listing.problems)
    columns = [name for name in described.columns if name not in ("image", _FOLDER)]
    text_types = None if described.text_types is None else {**described.text_types, _FOLDER: "string"}
    return Table(
        _FORMAT,
        ["image", *columns, _FOLDER],
        found.rows,
        types={**described.types, "image": _IMAGE, _FOLDER: _TEXT},
        text_types=text_types,
        problems=(*described.problems, *listing.problems),
    )


@dataclass(frozen=True)
class _ImageRows:
    """Rows of an archive, which is opened anew by each pass."""

    path: Path
    bounds: ArchiveLimits
    limits: TableLimits
    listing: Listing
    described: Table | None

    def rows(self, _: Sequence[str] = ()) -> Iterator[Source]:
        """One row for each image, or for each line of the metadata. Raises BrokenRow and what reading raises."""
        with open_archive(self.path, self.bounds) as archive:
            if self.described is not None:
                yield from self._described(archive, self.described)
                return
            for shown in self.listing.images:
                image = {"image": self._image(archive, shown), _FILE_NAME: shown}
                if self.listing.captions:
                    caption = _caption_of(archive, self.listing.captions[shown])
                    yield {**image, _CAPTION: caption, _FOLDER: _folder_of(shown)}
                else:
                    yield {**image, "label": _class_of(shown)}

    def _described(self, archive: OpenArchive, described: Table) -> Iterator[Source]:
        for place, line in enumerate(described.rows(described.columns)):
            shown = _file_of(line, place, self.listing)
            if shown in self.listing.images:
                beside = {name: value for name, value in line.items() if name != "image"}
                yield {"image": self._image(archive, shown), **beside, _FOLDER: _folder_of(shown)}

    def _image(self, archive: OpenArchive, shown: str) -> ImageFile:
        name = self.listing.images[shown]
        return ImageFile(shown, archive.size(name), lambda: archive.read(name, self.limits.images.max_bytes))


def _folder_of(shown: str) -> str:
    return shown.rpartition("/")[0]


def _class_of(shown: str) -> str:
    folder = _folder_of(shown)
    if not folder:
        raise BrokenRow(f"the image {shown[:120]!r} lies in no folder, so that it has no class.", hint=HINT)
    return folder


def _caption_of(archive: OpenArchive, name: str) -> str:
    """The one line of a caption file. Several are refused: trainers read them in different ways."""
    try:
        lines = archive.read(name, _CAPTION_BYTES).decode("utf-8-sig").strip().splitlines()
    except UnicodeDecodeError as error:
        raise BrokenRow(f"the caption file {name[:120]!r} is not UTF-8.", hint="Save it as UTF-8.") from error
    if len(lines) > 1:
        raise BrokenRow(
            f"the caption file {name[:120]!r} has {len(lines)} lines.",
            hint="Write the caption that training read in one line: some trainers read the first, others all of them.",
        )
    return lines[0].strip() if lines else ""


def _file_of(line: Source, place: int, listing: Listing) -> str:
    found = listing.find(line.get(_FILE_NAME))
    if found is None:
        raise BrokenRow(
            f"Line {place} of the metadata names the file {str(line.get(_FILE_NAME))[:120]!r}, which is not in the "
            "archive.",
            hint="'file_name' is the path of an image beside the metadata file.",
            extra={"row_index": place},
        )
    return found


def _read_metadata(archive: OpenArchive, listing: Listing, limits: TableLimits) -> Table:
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
    named = {listing.find(line.get(_FILE_NAME)) for line in lines}
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
