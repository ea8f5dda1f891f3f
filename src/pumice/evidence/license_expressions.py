"""Convert the copyright file of a package to one SPDX license expression.

Licenses on the SPDX list get their identifiers (SPDX 2.3, annex D). Any other becomes a ``LicenseRef-`` with
its text; the name ends with a part of the text's digest, so that equal texts are one license in the
whole image, and different texts under one name are not.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from pumice.formats import copyright as copyright_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.formats.copyright import Copyright, License

NONE = "NOASSERTION"
_MAX_TERMS = 200
_MAX_QUOTED = 1 << 18
_SHORT_PROSE = 4000

_GNU = re.compile(
    r"(?P<family>lgpl|agpl|gpl|gfdl)(?P<niv>-niv)?[-_ ]?v?(?P<version>\d(?:\.\d)?)?(?:\.0)?"
    r"(?P<later>\+|-or-later)?(?:-only)?"
)
_GNU_VERSIONS = {
    "gpl": ("1.0", "2.0", "3.0"),
    "lgpl": ("2.0", "2.1", "3.0"),
    "agpl": ("1.0", "3.0"),
    "gfdl": ("1.1", "1.2", "1.3"),
}
_NOT_ID = re.compile(r"[^A-Za-z0-9.]+")


class Licensing(msgspec.Struct, frozen=True):
    """The license of a package: an SPDX expression, and the texts of the ``LicenseRef-`` ids in it.

    ``exact`` is False if it was gathered from the references in a prose file.
    """

    expression: str = NONE
    texts: dict[str, str] = {}
    exact: bool = True


class _Names(msgspec.Struct, frozen=True):
    ids: dict[str, str]
    exceptions: dict[str, str]
    aliases: dict[str, str]


@cache
def _names() -> _Names:
    from pathlib import Path

    folder = Path(__file__).parent / "data"
    ids, _, exceptions = (folder / "spdx-ids.txt").read_text(encoding="utf-8").partition("\n\n")
    lines = (folder / "license-names.tsv").read_text(encoding="utf-8").splitlines()
    columns = (line.partition("\t") for line in lines if line and not line.startswith("#"))
    return _Names(
        {name.lower(): name for name in ids.split("\n")[1:]},
        {name.lower(): name for name in exceptions.split("\n") if name},
        {name: spdx for name, _, spdx in columns},
    )


def read_copyright(data: bytes, package: str) -> Licensing:
    """Return the license that a copyright file states for ``package``; accepts any bytes."""
    if not data.strip():
        return Licensing()
    copyright_data = copyright_file.read_copyright(data)
    return (
        _read_machine_readable(copyright_data, package)
        if copyright_data.machine_readable
        else _read_prose(copyright_data, package)
    )


def parse_expression(text: str) -> Licensing:
    """Return the license that a one-line expression states, such as apk's ``L:`` field."""
    if not text.strip():
        return Licensing()
    builder = _ExpressionBuilder({}, "")
    return Licensing(builder.convert(text), builder.texts)


def _read_machine_readable(copyright_data: Copyright, package: str) -> Licensing:
    stated_licenses = copyright_data.files or ((copyright_data.header,) if copyright_data.header else ())
    texts: dict[str, str] = {}
    for stated_license in (*copyright_data.texts, *stated_licenses):
        if stated_license.text:
            texts.setdefault(stated_license.name.lower(), stated_license.text)
    builder = _ExpressionBuilder(texts, package)
    terms = dict.fromkeys(builder.add_license(stated_license) for stated_license in stated_licenses[:10_000])
    return Licensing(join_terms(terms), builder.texts)


def _read_prose(copyright_data: Copyright, package: str) -> Licensing:
    builder = _ExpressionBuilder({}, package)
    terms = []
    for name in copyright_data.common:
        plus = (
            "+"
            if copyright_data.allows_later_versions
            and re.match(r"(L|A)?GPL|GFDL", name)
            and not name.endswith("+")
            else ""
        )
        spdx_term = _find_spdx(name + plus)
        if spdx_term:
            terms.append(spdx_term)
    if not terms or len(copyright_data.text) > _SHORT_PROSE:  # a long file states more than its references
        terms.append(builder.add_reference(f"{package}-copyright", copyright_data.text[:_MAX_QUOTED]))
    return Licensing(join_terms(terms), builder.texts, exact=False)


def join_terms(terms: Iterable[str]) -> str:
    """Return the conjunction of ``terms``; those with OR get parentheses."""
    distinct = sorted(
        {term for term in terms if term and term != NONE}, key=lambda term: (term.lower(), term)
    )
    if not distinct:
        return NONE
    if len(distinct) == 1:
        return distinct[0]
    conjuncts = {conjunct for term in distinct for conjunct in _list_conjuncts(term)}
    return " AND ".join(sorted(conjuncts, key=lambda part: (part.lstrip("(").lower(), part)))


def _list_conjuncts(term: str) -> list[str]:
    """Return the operands of the outermost AND operators in ``term``."""
    while _is_grouped(term):
        term = term[1:-1]
    operands = [""]
    depth = 0
    for symbol in re.split(r"( AND | OR |[()])", term):
        depth += (symbol == "(") - (symbol == ")")
        if depth == 0 and symbol == " OR ":
            return [f"({term})"]
        if depth == 0 and symbol == " AND ":
            operands.append("")
        else:
            operands[-1] += symbol
    return [
        conjunct
        for operand in operands
        for conjunct in (_list_conjuncts(operand) if _is_grouped(operand) else [operand])
    ]


def _is_grouped(term: str) -> bool:
    """Return whether one pair of parentheses encloses the whole term."""
    if not term.startswith("("):
        return False
    depth = 0
    for position, letter in enumerate(term):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return position == len(term) - 1
    return False


class _ExpressionBuilder:
    """Converts license names of one file to SPDX terms, and collects the texts that they need."""

    def __init__(self, texts: dict[str, str], package: str) -> None:
        self._stated_texts = texts
        self._package = package
        self.texts: dict[str, str] = {}

    def add_license(self, stated_license: License) -> str:
        name = stated_license.name
        if not name or (len(name) > 60 and " " in name):  # prose instead of a name
            text = "\n".join(part for part in (name, stated_license.text) if part)
            return self.add_reference(f"{self._package}-unnamed", text)
        return self.convert(name)

    def convert(self, text: str) -> str:
        """Return the expression for a synopsis such as ``GPL-2+ and (Expat or BSD-3-clause)``.

        A comma has lower precedence than any word (copyright-format/1.0, "License synopsis").
        """
        flat_text = " ".join(text.replace("(", " ").replace(")", " ").replace("|", " or ").split())
        nested = "(" in text
        if not nested:
            for separator, operator in ((", and ", " AND "), (", or ", " OR ")):
                if separator in flat_text.lower():
                    return self._join_operands(_split_operands(flat_text, separator), operator)
            flat_text = flat_text.replace(", ", " and ").rstrip(",")
        for separator, operator in ((" or ", " OR "), (" and ", " AND ")):
            if separator in flat_text.lower():
                if nested and _has_both_operators(
                    flat_text
                ):  # rare, and flattening it would change its meaning
                    return self._convert_grouped(text)
                return self._join_operands(_split_operands(flat_text, separator), operator)
        return self._convert_name(flat_text)

    def _convert_grouped(self, text: str) -> str:
        groups = re.findall(r"\(|\)|[^()]+", text)
        tokens: list[str] = []
        for group in groups:
            if group in "()":
                tokens.append(group)
                continue
            names = re.split(r"(?i)(?:^|\s+)(and|or)(?=\s|$)", group.strip())
            tokens.extend(
                name.upper() if name.lower() in ("and", "or") else self._convert_name(" ".join(name.split()))
                for name in names
                if name.strip()
            )
        expression = " ".join(tokens).replace("( ", "(").replace(" )", ")")
        return (
            expression
            if is_expression(expression)
            else self.add_reference(text, self._stated_texts.get(text.lower(), ""))
        )

    def _join_operands(self, operands: list[str], operator: str) -> str:
        terms = dict.fromkeys(self.convert(operand) for operand in operands[:_MAX_TERMS] if operand.strip())
        if len(terms) == 1:
            return next(iter(terms))
        other_operator = " OR " if operator == " AND " else " AND "
        return operator.join(
            f"({term})" if other_operator in term and not _is_grouped(term) else term for term in terms
        )

    def _convert_name(self, name: str) -> str:
        spdx_term = _find_spdx(name)
        if spdx_term:
            return spdx_term
        base, separator, exception = name.partition(" with ")
        if separator:
            exception_id = _names().aliases.get(
                "with " + exception.lower().removesuffix(" exception").strip()
            )
            exception_id = exception_id or _names().exceptions.get(exception.lower().replace(" ", "-"))
            if exception_id and (base_license := _find_spdx(base)) and " " not in base_license:
                return f"{base_license} WITH {exception_id}"
        return self.add_reference(name, self._stated_texts.get(name.lower(), ""))

    def add_reference(self, name: str, text: str) -> str:
        """Return the ``LicenseRef-`` for a license that is not on the SPDX list."""
        slug = _NOT_ID.sub("-", name).strip("-.")[:60].rstrip("-.") or "unnamed"
        if not text:
            text = f"The copyright file of {self._package or 'a package'} names {name!r} without its text."
        text = text[:_MAX_QUOTED]
        id_ = f"LicenseRef-{slug}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        self.texts[id_] = text
        return id_


def _has_both_operators(plain: str) -> bool:
    return " or " in plain.lower() and " and " in plain.lower()


def _split_operands(text: str, separator: str) -> list[str]:
    return re.split(re.escape(separator), text, flags=re.IGNORECASE)


def _find_spdx(name: str) -> str:
    """Return the SPDX expression for the name of a license, ``""`` if there is none."""
    names = _names()
    lowercase_name = name.strip().lower()
    dashed_name = lowercase_name.replace(" ", "-")
    if dashed_name in names.aliases:
        return names.aliases[dashed_name]
    gnu = _GNU.fullmatch(dashed_name)
    if gnu:
        return _format_gnu(gnu)
    return names.ids.get(dashed_name) or names.ids.get(dashed_name.removesuffix("-license")) or ""


def _format_gnu(match: re.Match[str]) -> str:
    family, version = match["family"], match["version"]
    versions = _GNU_VERSIONS[family]
    if version is None:  # any version that was ever published
        or_later, full_version = True, versions[0]
    else:
        or_later, full_version = bool(match["later"]), version if "." in version else f"{version}.0"
        if full_version not in versions:
            return ""
    suffix = "-no-invariants" if match["niv"] else ""
    return f"{family.upper()}-{full_version}{suffix}-{'or-later' if or_later else 'only'}"


def list_licenses(expression: str) -> tuple[str, ...]:
    """Return the licenses in an expression (``X WITH Y`` is one), each once, sorted."""
    operands = [operand for operand in re.split(r"[()]|\s(?:AND|OR)\s", expression) if operand.strip()]
    return tuple(sorted({operand.strip() for operand in operands}))


def is_expression(text: str) -> bool:
    """Return whether ``text`` has the syntax of an SPDX expression; identifiers are not looked up."""
    depth, expects_operand = 0, True
    for symbol in re.findall(r"\(|\)|[^\s()]+", text):
        if symbol == "(":
            if not expects_operand:
                return False
            depth += 1
        elif symbol == ")":
            depth -= 1
            if expects_operand or depth < 0:
                return False
        elif symbol in ("AND", "OR", "WITH"):
            if expects_operand:
                return False
            expects_operand = True
        else:
            if not expects_operand:
                return False
            expects_operand = False
    return depth == 0 and not expects_operand
