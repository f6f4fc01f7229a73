"""Files that look like an encoder's to whoever does not load them."""

from pathlib import Path


def make_encoder_alias(folder: Path) -> dict[str, str]:
    """The default alias, standing for a folder with the files that a base model has."""
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return {"minilm-l6": str(folder)}
