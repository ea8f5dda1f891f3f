"""Copyright files to SPDX expressions: names, texts, prose, and anything at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.evidence import license_expressions
from pumice.formats import copyright as copyright_file

FORMAT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"


def rolled(*fields: str) -> license_expressions.Licensing:
    text = FORMAT + "\n\n".join(
        f"Files: x{number}\nCopyright: me\nLicense: {one}" for number, one in enumerate(fields)
    )
    return license_expressions.read_copyright(text.encode(), "x")


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("Expat", "MIT"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("GPL", "GPL-1.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("apache-2.0", "Apache-2.0"),
        ("GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0-Perl"),
        ("Artistic | GPL-1+", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
        ("GPL-2+ and Expat", "GPL-2.0-or-later AND MIT"),
        ("GPL-2+ or Artistic-2.0, and BSD-3-clause", "(GPL-2.0-or-later OR Artistic-2.0) AND BSD-3-Clause"),
        ("GPL-2+ and (Expat or Zlib)", "GPL-2.0-or-later AND (MIT OR Zlib)"),
        ("GPL-3+ with Bison exception", "GPL-3.0-or-later WITH Bison-exception-2.2"),
        ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
    ],
)
def test_names(name: str, expression: str) -> None:
    assert license_expressions.parse_expression(name).expression == expression
    assert rolled(name).texts == {}


def test_all_files_licenses_apply() -> None:
    found = rolled("GPL-2+", "Expat", "GPL-1+ or Artistic", "Expat")
    assert found.expression == "(GPL-1.0-or-later OR Artistic-1.0-Perl) AND GPL-2.0-or-later AND MIT"
    assert found.exact


def test_a_license_on_no_list_is_a_reference_with_its_text() -> None:
    text = FORMAT + "Files: *\nLicense: Odd\n\nLicense: Odd\n Do what\n .\n is odd.\n"
    found = license_expressions.read_copyright(text.encode(), "x")
    ((id_, quoted),) = found.texts.items()
    assert found.expression == id_
    assert re.fullmatch(r"LicenseRef-Odd-[0-9a-f]{8}", id_)
    assert quoted == "Do what\n\nis odd."


def test_one_text_is_one_license_whatever_the_package() -> None:
    one, other = (
        license_expressions.read_copyright((FORMAT + f"Files: *\nLicense: Odd\n {text}\n").encode(), name)
        for name, text in (("a", "Same."), ("b", "Same."))
    )
    assert one == other
    assert one != license_expressions.read_copyright(
        (FORMAT + "Files: *\nLicense: Odd\n Other.\n").encode(), "a"
    )


def test_license_of_prose_comes_from_its_references() -> None:
    text = b"You may use it under version 2 or any later version,\nsee /usr/share/common-licenses/GPL-2.\n"
    found = license_expressions.read_copyright(text, "x")
    assert (found.expression, found.exact) == ("GPL-2.0-or-later", False)
    long = license_expressions.read_copyright(text + b"And much more.\n" * 1000, "x")
    assert re.fullmatch(r"GPL-2.0-or-later AND LicenseRef-x-copyright-[0-9a-f]{8}", long.expression)


def test_prose_without_references_is_quoted() -> None:
    found = license_expressions.read_copyright(b"All mine.\n", "x")
    assert list(found.texts.values()) == ["All mine.\n"]


def test_missing_copyright_file_gives_noassertion() -> None:
    assert license_expressions.read_copyright(b"", "x") == license_expressions.Licensing("NOASSERTION")


def test_the_licenses_of_an_expression() -> None:
    expression = "(MIT OR GPL-2.0-only WITH Linux-syscall-note) AND Zlib AND MIT"
    assert license_expressions.list_licenses(expression) == (
        "GPL-2.0-only WITH Linux-syscall-note",
        "MIT",
        "Zlib",
    )


_words = st.sampled_from(
    [
        "GPL-2+",
        "Expat",
        " or ",
        " and ",
        ", and ",
        ", or ",
        "(",
        ")",
        " with ",
        "exception",
        "|",
        "é",
        "\n .\n",
        " ",
    ]
)


@given(st.lists(_words, max_size=12).map("".join))
def test_any_synopsis_gives_a_valid_expression(text: str) -> None:
    found = rolled(text)
    assert found.expression == "NOASSERTION" or license_expressions.is_expression(found.expression)
    for id_ in license_expressions.list_licenses(found.expression):
        assert not id_.startswith("LicenseRef-") or id_ in found.texts


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: (FORMAT + text).encode("utf-8", "replace"))
)
def test_any_bytes_give_a_valid_expression(data: bytes) -> None:
    copyright_file.read_copyright(data)
    found = license_expressions.read_copyright(data, "x")
    assert found.expression == "NOASSERTION" or license_expressions.is_expression(found.expression)
