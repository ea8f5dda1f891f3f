"""Quantities of resources, such as ``500m`` or ``4Gi`` (Kubernetes, "resource.Quantity")."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from pumice.errors import FormatError

if TYPE_CHECKING:
    from pumice.appc.findings import Findings

_QUANTITY = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(.*)")
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]{1,3})")
_SUFFIXES = {
    "": Fraction(1),
    **{name: Fraction(1, 1000**power) for power, name in enumerate("mun", 1)},
    **{name: Fraction(1000**power) for power, name in enumerate("kMGTPE", 1)},
    **{f"{name}i": Fraction(1024**power) for power, name in enumerate("KMGTPE", 1)},
}
_MAX = Fraction((1 << 63) - 1)
_MAX_TEXT = 64


def parse_quantity(text: str, where: str, findings: Findings) -> Fraction:
    """Return the exact value of a quantity, which is not negative; raises FormatError."""
    match = _QUANTITY.fullmatch(text) if len(text) <= _MAX_TEXT else None
    factor = _parse_suffix(match[3], text, where, findings) if match else None
    if match is None or factor is None:
        raise FormatError(
            f"{text[:60]!r} is not a quantity", where=where, hint="write a number such as 500m, 2 or 512Mi"
        )
    value = Fraction(match[2]) * factor
    if match[1] == "-" and value:
        raise FormatError(f"the quantity {text!r} is negative", where=where)
    if value > _MAX:
        raise FormatError(f"the quantity {text!r} is too large", where=where)
    return value


def _parse_suffix(suffix: str, text: str, where: str, findings: Findings) -> Fraction | None:
    if suffix == "K":  # in the text of the specification, but the reference implementation refuses it
        findings.warn(where, f"the suffix of {text!r} is written k")
        return _SUFFIXES["k"]
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent:
        return Fraction(10) ** int(exponent[1])
    return _SUFFIXES.get(suffix)
