"""Names of what belongs to another image and is found by that image's digest.

``sha256-<hex>`` is the list of an image's referrers where nothing else keeps it (distribution-spec 1.1,
"Referrers Tag Schema"); ``sha256-<hex>.sig``, ``.att`` and ``.sbom`` are what cosign writes.
"""

from __future__ import annotations

_HEX = frozenset("0123456789abcdef")
_SIZES = {"sha256": (64,), "sha512": (64, 128)}


def is_beside(tag: str) -> bool:
    """Say whether a tag stands for what belongs to another image, not for one that people would name."""
    stem = tag.partition(".")[0]
    algorithm, _, digits = stem.partition("-")
    return len(digits) in _SIZES.get(algorithm, ()) and _HEX.issuperset(digits)
