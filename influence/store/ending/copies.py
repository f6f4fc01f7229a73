"""Local copies of what was deleted leave this machine, too: whoever deleted it could not reach them."""

from pathlib import Path

from influence.store import keys
from influence.store.data.files import Files
from influence.store.store import Store


def forget_removed(store: Store, files: Files) -> list[Path]:
    """Drop copies of data sets and adapters that no record names any more; answers which."""
    digests: set[str | None] = set()

    def is_gone(folder: Path) -> bool:
        if folder.parent == files.datasets:
            return keys.is_id(folder.name) and not store.holds(folder.name)
        if not digests:
            digests.update(checkpoint.adapter_digest for checkpoint in store.whole.checkpoints.each())
            digests.add(None)
        return folder.name not in digests

    return files.forget(is_gone)
