"""Check and encode names that become file names, so that none can contain a path.

There are no regular expressions: compiling them would cost more than all look-ups of a warm build.
"""

from __future__ import annotations

from pumice.errors import UsageError

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_WORD = _LOWER | {"-"}
_PLAIN = _LOWER | frozenset("._-")
_REFERENCE = _PLAIN | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ+~/:")
_IPV6 = frozenset("0123456789abcdefABCDEF:.")
_MAX_NAME = 250
"""The longest encoded name in bytes; file systems allow 255."""


def is_plain_word(name: str) -> bool:
    """Return whether ``name`` is usable as a file name: 1 to 64 lowercase letters, digits and ``-``."""
    return 0 < len(name) <= 64 and name[0] != "-" and _WORD.issuperset(name)


def encode_reference(name: str) -> str:
    """Return the file name for a reference ``name:version``; raises UsageError if it is malformed.

    Everything except lowercase letters, digits and ``._-`` is encoded as ``%xx``, so that names stay
    distinct on file systems that ignore case.
    """
    rest = _strip_ipv6_host(name)
    components = rest.replace(":", "/").split("/")
    if (
        ":" not in rest.rpartition("/")[2]
        or not _REFERENCE.issuperset(rest)
        or any(not _is_component(component) for component in components)
    ):
        raise UsageError(
            f"{name[:100]!r} is not an image name",
            hint="expected name:version, as in example.com/hello:1.0",
        )
    encoded = "".join(character if character in _PLAIN else f"%{ord(character):02x}" for character in name)
    if len(encoded) > _MAX_NAME:
        raise UsageError(f"the name {name[:40]}... is too long", hint="use a shorter name or version")
    return encoded


def _strip_ipv6_host(name: str) -> str:
    """Return a name without the address at its beginning: ``host`` stands for ``[2001:db8::1]``."""
    if not name.startswith("["):
        return name
    address, bracket, rest = name[1:].partition("]")
    return f"host{rest}" if bracket and address and _IPV6.issuperset(address) and rest[:1] in ":/" else name


def _is_component(component: str) -> bool:
    return component != "" and component[0] not in ".-"


def decode_reference(encoded: str) -> str:
    """Return the reference whose file name is ``encoded``; empty if no reference has that file name."""
    first, *escapes = encoded.split("%")
    try:
        name = first + "".join(chr(int(escaped[:2], 16)) + escaped[2:] for escaped in escapes)
        return name if encode_reference(name) == encoded else ""
    except (ValueError, UsageError):
        return ""
