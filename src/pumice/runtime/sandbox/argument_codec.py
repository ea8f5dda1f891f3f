"""The format in which options are passed in a file, where no text can become another option."""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def encode_arguments(arguments: Sequence[str]) -> bytes:
    """Return arguments as bytes for `decode_arguments`, each after its length, so that none can be split."""
    encoded = [argument.encode(errors="surrogateescape") for argument in arguments]
    return b"".join(struct.pack("<I", len(argument)) + argument for argument in encoded)


def decode_arguments(data: bytes) -> list[str]:
    """Return the arguments that `encode_arguments` encoded; raises ValueError for malformed bytes.

    An argument with a NUL is malformed, because the kernel would take only what precedes it.
    """
    arguments = []
    position = 0
    while position < len(data):
        if len(data) - position < 4:
            raise ValueError("a length is cut off")
        (length,) = struct.unpack_from("<I", data, position)
        argument = data[position + 4 : position + 4 + length]
        if len(argument) != length or b"\0" in argument:
            raise ValueError("a word is cut off or contains a NUL")
        arguments.append(argument.decode(errors="surrogateescape"))
        position += 4 + length
    return arguments
