"""What license a package is under: its copyright file rolled up to one SPDX expression.

Licenses on the SPDX list get their identifiers (SPDX 2.3, annex D); any other becomes a
``LicenseRef-`` that carries its text, whose name ends with a part of the text's digest, so that equal
texts are one license in the whole image and different ones under one name are not.
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
    """A package's license: an SPDX expression, and the texts of the references in it.

    ``exact`` is false where it was gathered from the references of a prose file.
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
    pairs = (line.split("\t", 1) for line in lines if line and not line.startswith("#"))
    return _Names(
        {name.lower(): name for name in ids.split("\n")[1:]},
        {name.lower(): name for name in exceptions.split("\n") if name},
        {name: spdx for name, spdx in pairs},  # noqa: C416 - lists, not tuples,
    )


def roll_up(data: bytes, package: str) -> Licensing:
    """Return the license that a copyright file states for ``package``, for any bytes at all."""
    if not data.strip():
        return Licensing()
    found = copyright_file.read_copyright(data)
    return _machine_readable(found, package) if found.machine_readable else _prose(found, package)


def of_expression(text: str) -> Licensing:
    """Return the license that a one-line expression states, as apk's ``L:`` field has."""
    if not text.strip():
        return Licensing()
    roll = _RollUp({}, "")
    return Licensing(roll.expression(text), roll.texts)


def _machine_readable(found: Copyright, package: str) -> Licensing:
    stated = found.files or ((found.header,) if found.header else ())
    texts: dict[str, str] = {}
    for stated_license in (*found.texts, *stated):
        if stated_license.text:
            texts.setdefault(stated_license.name.lower(), stated_license.text)
    roll = _RollUp(texts, package)
    terms = dict.fromkeys(roll.term(stated_license) for stated_license in stated[:10_000])
    return Licensing(joined(terms), roll.texts)


def _prose(found: Copyright, package: str) -> Licensing:
    roll = _RollUp({}, package)
    terms = []
    for name in found.common:
        plus = "+" if found.later and re.match(r"(L|A)?GPL|GFDL", name) and not name.endswith("+") else ""
        known = _known(name + plus)
        if known:
            terms.append(known)
    if not terms or len(found.text) > _SHORT_PROSE:  # a long one says more than what it refers to
        terms.append(roll.reference(f"{package}-copyright", found.text[:_MAX_QUOTED]))
    return Licensing(joined(terms), roll.texts, exact=False)


def joined(terms: Iterable[str]) -> str:
    """Return the expression that says that all ``terms`` apply; those with OR get parentheses."""
    once = sorted({term for term in terms if term and term != NONE}, key=lambda term: (term.lower(), term))
    if not once:
        return NONE
    if len(once) == 1:
        return once[0]
    flat = {part for term in once for part in _conjuncts(term)}
    return " AND ".join(sorted(flat, key=lambda part: (part.lstrip("(").lower(), part)))


def _conjuncts(term: str) -> list[str]:
    """Return the terms of ``term`` that all apply, taken apart as far as AND is outermost."""
    while _is_grouped(term):
        term = term[1:-1]
    parts = [""]
    depth = 0
    for word in re.split(r"( AND | OR |[()])", term):
        depth += (word == "(") - (word == ")")
        if depth == 0 and word == " OR ":
            return [f"({term})"]
        if depth == 0 and word == " AND ":
            parts.append("")
        else:
            parts[-1] += word
    return [inner for part in parts for inner in (_conjuncts(part) if _is_grouped(part) else [part])]


def _is_grouped(term: str) -> bool:
    """Whether the parentheses at both ends belong together."""
    if not term.startswith("("):
        return False
    depth = 0
    for position, letter in enumerate(term):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return position == len(term) - 1
    return False


class _RollUp:
    """Turns the words of one file into SPDX terms and collects the texts they need."""

    def __init__(self, texts: dict[str, str], package: str) -> None:
        self._given = texts
        self._package = package
        self.texts: dict[str, str] = {}

    def term(self, stated_license: License) -> str:
        name = stated_license.name
        if not name or (len(name) > 60 and " " in name):  # prose where a name should be
            text = "\n".join(part for part in (name, stated_license.text) if part)
            return self.reference(f"{self._package}-unnamed", text)
        return self.expression(name)

    def expression(self, text: str) -> str:
        """Return the expression for a synopsis such as ``GPL-2+ and (Expat or BSD-3-clause)``.

        A comma binds weaker than any word (copyright-format/1.0, "License synopsis").
        """
        plain = " ".join(text.replace("(", " ").replace(")", " ").replace("|", " or ").split())
        nested = "(" in text
        if not nested:
            for word, sign in ((", and ", " AND "), (", or ", " OR ")):
                if word in plain.lower():
                    return self._all(_split(plain, word), sign)
            plain = plain.replace(", ", " and ").rstrip(",")
        for word, sign in ((" or ", " OR "), (" and ", " AND ")):
            if word in plain.lower():
                if nested and _mixed(plain):  # rare, and flattening it would change what it means
                    return self._by_parentheses(text)
                return self._all(_split(plain, word), sign)
        return self._atom(plain)

    def _by_parentheses(self, text: str) -> str:
        words_and_signs = re.findall(r"\(|\)|[^()]+", text)
        out: list[str] = []
        for piece in words_and_signs:
            if piece in "()":
                out.append(piece)
                continue
            words = re.split(r"(?i)(?:^|\s+)(and|or)(?=\s|$)", piece.strip())
            out.extend(
                word.upper() if word.lower() in ("and", "or") else self._atom(" ".join(word.split()))
                for word in words
                if word.strip()
            )
        made = " ".join(out).replace("( ", "(").replace(" )", ")")
        return made if is_expression(made) else self.reference(text, self._given.get(text.lower(), ""))

    def _all(self, parts: list[str], sign: str) -> str:
        made = dict.fromkeys(self.expression(part) for part in parts[:_MAX_TERMS] if part.strip())
        if len(made) == 1:
            return next(iter(made))
        other = " OR " if sign == " AND " else " AND "
        return sign.join(f"({one})" if other in one and not _is_grouped(one) else one for one in made)

    def _atom(self, name: str) -> str:
        known = _known(name)
        if known:
            return known
        base, word, exception = name.partition(" with ")
        if word:
            spdx = _names().aliases.get("with " + exception.lower().removesuffix(" exception").strip())
            spdx = spdx or _names().exceptions.get(exception.lower().replace(" ", "-"))
            if spdx and (of := _known(base)) and " " not in of:
                return f"{of} WITH {spdx}"
        return self.reference(name, self._given.get(name.lower(), ""))

    def reference(self, name: str, text: str) -> str:
        """Return the ``LicenseRef-`` for a license that is on no list."""
        words = _NOT_ID.sub("-", name).strip("-.")[:60].rstrip("-.") or "unnamed"
        if not text:
            text = f"The copyright file of {self._package or 'a package'} names {name!r} without its text."
        text = text[:_MAX_QUOTED]
        id_ = f"LicenseRef-{words}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        self.texts[id_] = text
        return id_


def _mixed(plain: str) -> bool:
    return " or " in plain.lower() and " and " in plain.lower()


def _split(text: str, word: str) -> list[str]:
    return re.split(re.escape(word), text, flags=re.IGNORECASE)


def _known(name: str) -> str:
    """Return the SPDX expression for a license's name, nothing if there is none."""
    names = _names()
    low = name.strip().lower()
    dashed = low.replace(" ", "-")
    if dashed in names.aliases:
        return names.aliases[dashed]
    gnu = _GNU.fullmatch(dashed)
    if gnu:
        return _gnu(gnu)
    return names.ids.get(dashed) or names.ids.get(dashed.removesuffix("-license")) or ""


def _gnu(found: re.Match[str]) -> str:
    family, version = found["family"], found["version"]
    known = _GNU_VERSIONS[family]
    if version is None:  # any version that was ever published
        later, full = True, known[0]
    else:
        later, full = bool(found["later"]), version if "." in version else f"{version}.0"
        if full not in known:
            return ""
    niv = "-no-invariants" if found["niv"] else ""
    return f"{family.upper()}-{full}{niv}-{'or-later' if later else 'only'}"


def atoms(expression: str) -> tuple[str, ...]:
    """Return the licenses in an expression (``X WITH Y`` is one), each once, sorted."""
    words = [word for word in re.split(r"[()]|\s(?:AND|OR)\s", expression) if word.strip()]
    return tuple(sorted({word.strip() for word in words}))


def is_expression(text: str) -> bool:
    """Whether ``text`` has the form of an SPDX expression (words are not looked up)."""
    depth, operand = 0, True
    for word in re.findall(r"\(|\)|[^\s()]+", text):
        if word == "(":
            if not operand:
                return False
            depth += 1
        elif word == ")":
            depth -= 1
            if operand or depth < 0:
                return False
        elif word in ("AND", "OR", "WITH"):
            if operand:
                return False
            operand = True
        else:
            if not operand:
                return False
            operand = False
    return depth == 0 and not operand
