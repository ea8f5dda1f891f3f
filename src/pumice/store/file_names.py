"""Names that become file names: checked and encoded here, so that none can carry a path.

No regular expressions: compiling them would cost more than all look-ups of a warm build.
"""

from __future__ import annotations

from pumice.errors import UsageError

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_WORD = _LOWER | {"-"}
_PLAIN = _LOWER | frozenset("._-")
_REFERENCE = _PLAIN | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ+~/:")
_LONGEST = 250
"""Of an encoded name in bytes: file systems allow 255."""


def is_word(name: str) -> bool:
    """Say whether ``name`` may be a file name as it is: lower-case letters, digits, ``-``; at most 64."""
    return 0 < len(name) <= 64 and name[0] != "-" and _WORD.issuperset(name)


def encode(name: str) -> str:
    """Return the file name for a reference ``name:version``; raises UsageError if it is none.

    All but lower-case letters, digits and ``._-`` becomes ``%xx``, so that names stay distinct
    where file names ignore case.
    """
    words = name.replace(":", "/").split("/")
    if (
        ":" not in name.rpartition("/")[2]
        or not _REFERENCE.issuperset(name)
        or any(not _is_part(w) for w in words)
    ):
        raise UsageError(
            f"{name[:100]!r} is not the name of an image",
            hint="expected name:version, as in example.com/hello:1.0",
        )
    encoded = "".join(c if c in _PLAIN else f"%{ord(c):02x}" for c in name)
    if len(encoded) > _LONGEST:
        raise UsageError(f"the name {name[:40]}... is too long", hint="use a shorter name or version")
    return encoded


def _is_part(word: str) -> bool:
    return word != "" and word[0] not in ".-"


def decode(encoded: str) -> str:
    """Return the reference whose file name is ``encoded``; empty if that is not a name of ours."""
    first, *rest = encoded.split("%")
    try:
        name = first + "".join(chr(int(piece[:2], 16)) + piece[2:] for piece in rest)
        return name if encode(name) == encoded else ""
    except (ValueError, UsageError):
        return ""
