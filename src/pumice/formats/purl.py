"""Package URLs (github.com/package-url/purl-spec) and CPE names.

Qualifiers are sorted. Everything except unreserved characters and ``:`` is percent-encoded, so ``+`` is
``%2B``, which scanners require.
"""

from __future__ import annotations

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_~:")


def percent_encode(text: str) -> str:
    """Return ``text`` percent-encoded."""
    if _UNRESERVED.issuperset(text):
        return text
    return "".join(
        character if character in _UNRESERVED else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in text
    )


def format_purl(kind: str, namespace: str, name: str, version: str, **qualifiers: str) -> str:
    """Return ``pkg:kind/namespace/name@version?key=value``; empty parts are omitted."""
    prefix = f"pkg:{kind}/{percent_encode(namespace)}/" if namespace else f"pkg:{kind}/"
    query = "&".join(f"{key}={percent_encode(value)}" for key, value in sorted(qualifiers.items()) if value)
    return (
        prefix
        + percent_encode(name)
        + (f"@{percent_encode(version)}" if version else "")
        + (f"?{query}" if query else "")
    )


def format_cpe(vendor: str, product: str, version: str) -> str:
    """Return a CPE 2.3 name of an application (NISTIR 7695, formatted string binding)."""
    components = ":".join(_escape_cpe(component) for component in (vendor, product, version))
    return f"cpe:2.3:a:{components}:*:*:*:*:*:*:*"


def _escape_cpe(text: str) -> str:
    if not text:
        return "*"
    return "".join(
        character if (character.isalnum() and character.isascii()) or character in "._-" else f"\\{character}"
        for character in text.lower()
    )
