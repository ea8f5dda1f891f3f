"""The format in which options are passed in a file, where no text can become another option."""

from __future__ import annotations

import _struct as struct  # struct itself only imports it, which takes as long as two modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def encode_fields(fields: Iterable[bytes]) -> bytes:
    """Return fields as bytes for `decode_fields`, each after its length, so that none can be split."""
    return b"".join(struct.pack("<I", len(field)) + field for field in fields)


def decode_fields(data: bytes) -> list[bytes]:
    """Return the fields that `encode_fields` encoded; raises ValueError for malformed bytes."""
    fields = []
    position = 0
    while position < len(data):
        if len(data) - position < 4:
            raise ValueError("a length is cut off")
        (length,) = struct.unpack_from("<I", data, position)
        field = data[position + 4 : position + 4 + length]
        if len(field) != length:
            raise ValueError("a field is cut off")
        fields.append(field)
        position += 4 + length
    return fields


def encode_arguments(arguments: Iterable[str]) -> bytes:
    """Return arguments as bytes for `decode_arguments`."""
    return encode_fields(argument.encode(errors="surrogateescape") for argument in arguments)


def decode_arguments(data: bytes) -> list[str]:
    """Return the arguments that `encode_arguments` encoded; raises ValueError for malformed bytes.

    An argument with a NUL is malformed, because the kernel would take only what precedes it.
    """
    arguments = decode_fields(data)
    if any(b"\0" in argument for argument in arguments):
        raise ValueError("an argument contains a NUL")
    return [argument.decode(errors="surrogateescape") for argument in arguments]
