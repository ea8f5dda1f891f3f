"""Names and tags of images (distribution-spec 1.1, "Pulling manifests"; github.com/distribution/reference).

The patterns are for modules that compile them. The functions accept the same texts without a regular
expression, because every build calls them and compiling one takes longer than that.
"""

from __future__ import annotations

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
NAME = rf"{_COMPONENT}(?:/{_COMPONENT})*"
"""The name of a repository, without a host."""
TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
MAX_NAME = 255
"""Characters of host and name together, to which most clients limit them."""

_MAX_TAG = 128
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_NAME_CHARACTERS = _NAME_LETTERS | frozenset("._-")
_LETTERS = _NAME_LETTERS | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TAG_CHARACTERS = _LETTERS | frozenset("._-")
_INVALID_SEPARATORS = ("..", "___", "._", "_.", "-.", ".-", "-_", "_-")


def is_full_name(text: str) -> bool:
    """Return whether ``text`` is ``[HOST[:PORT]/]NAME``.

    As in docker, the first component is a host if it is ``localhost`` or has a dot, colon or capital.
    """
    host, slash, name = text.partition("/")
    if len(text) > MAX_NAME:
        return False
    if slash and (host == "localhost" or "." in host or ":" in host or host != host.lower()):
        return is_name(name) and _is_host_and_port(host)
    return is_name(text)


def is_name(text: str) -> bool:
    """Return whether ``text`` matches `NAME`."""
    return all(_is_component(component) for component in text.split("/"))


def is_tag(text: str) -> bool:
    """Return whether ``text`` matches `TAG`."""
    return 0 < len(text) <= _MAX_TAG and _TAG_CHARACTERS.issuperset(text) and text[0] not in ".-"


def _is_component(text: str) -> bool:
    if not text or not _NAME_CHARACTERS.issuperset(text):
        return False
    if text[0] not in _NAME_LETTERS or text[-1] not in _NAME_LETTERS:
        return False
    return not any(separator in text for separator in _INVALID_SEPARATORS)


def _is_host_and_port(text: str) -> bool:
    host, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdigit()):
        return False
    return all(
        _LETTERS.issuperset(label.replace("-", "")) and label.strip("-") == label != ""
        for label in host.split(".")
    )
