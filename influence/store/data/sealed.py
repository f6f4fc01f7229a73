"""JSON objects that carry a checksum of themselves: one with a digit flipped is JSON still, and another score."""

import re
import zlib

_SEAL = re.compile(rb',"crc32":"([0-9a-f]{8})"}$')


def seal(text: str) -> str:
    """The text of a JSON object that has fields, with one more: the CRC-32 of the text as it was.

    Versions that know of no seal overlook the field.
    """
    return f'{text[:-1]},"crc32":"{zlib.crc32(text.encode()):08x}"}}'


def is_sealed(text: bytes) -> bool:
    """Whether a text carries a checksum; unsealing it tells whether that is its own."""
    return _SEAL.search(text) is not None


def unseal(text: bytes | str) -> bytes:
    """The text without its seal; one that has none, as earlier versions wrote it, stays as it is.

    Raises ValueError where it is not what was sealed.
    """
    raw = text.encode() if isinstance(text, str) else text
    found = _SEAL.search(raw)
    if found is None:
        return raw
    whole = raw[: found.start()] + b"}"
    if zlib.crc32(whole) != int(found[1], 16):
        raise ValueError("it does not match its checksum")
    return whole
