"""Quantities of Kubernetes and App Container manifests: ``500m``, ``1.5``, ``128Mi``, ``1e3``."""

from __future__ import annotations

import re
from fractions import Fraction

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {name: 1 << 10 * power for power, name in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}


def parse_quantity(text: str) -> Fraction:
    """Return the exact value of a quantity; raises ValueError."""
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError(text)
    number, exponent, suffix = match[1], match[2], match[3] or ""
    if exponent:
        return Fraction(number) * Fraction(10) ** int(exponent)
    if suffix in _BINARY:
        return Fraction(number) * _BINARY[suffix]
    return Fraction(number) * Fraction(10) ** _DECIMAL[suffix]
