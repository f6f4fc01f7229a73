"""A trainer's pickled arguments, as `torch.save` lays them."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

from influence.checkpoint_files.adapters.notes.pickled_arguments import PICKLED


class Arguments:
    """Stands for a trainer's own class, whose name is put in its place in the bytes."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def save(
    folder: Path, made_of: str, *, protocol: int = 2, inside: str = "training_args/data.pkl", **fields: Any
) -> Path:
    """As `torch.save` lays a pickle, with the class called otherwise."""
    content = pickle.dumps(Arguments(output_dir="out", **fields), protocol=protocol)
    module, _, name = made_of.rpartition(".")
    written = f"c{Arguments.__module__}\nArguments\n".encode()
    assert protocol > 2 or written in content
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(inside, content.replace(written, f"c{module}\n{name}\n".encode()))
    (folder / PICKLED).write_bytes(packed.getvalue())
    return folder / PICKLED
