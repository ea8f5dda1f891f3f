"""Independent validators accept our evidence, and independent libraries read it correctly."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pumice.evidence import cyclonedx_document, identifiers, license_expressions, spdx_document
from pumice.evidence.facts import select_layer
from pumice.formats import purl
from tests.support import bsi, evidence, schemas

_SPDX = """
import sys
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
for message in validate_full_spdx_document(parse_file(sys.argv[1])):
    print(message.validation_message[:300])
"""
_CYCLONEDX = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
if found:
    print(str(found)[:2000])
"""


def judged(program: str, path: Path) -> str:
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout + (process.stderr if process.returncode else "")


@pytest.mark.parametrize("has_all_fields", [True, False])
def test_spdx_tools_finds_no_violations(tmp_path: Path, has_all_fields: bool) -> None:
    facts = evidence.facts(20, 200)
    path = tmp_path / "image.spdx.json"
    path.write_bytes(spdx_document.format_spdx(facts if has_all_fields else select_layer(facts, 1)))
    assert judged(_SPDX, path) == ""


@pytest.mark.parametrize("has_all_fields", [True, False])
def test_cyclonedx_validates_strictly_against_its_schema(tmp_path: Path, has_all_fields: bool) -> None:
    facts = evidence.facts(20, 200)
    path = tmp_path / "image.cdx.json"
    path.write_bytes(cyclonedx_document.format_cyclonedx(facts if has_all_fields else select_layer(facts, 1)))
    assert judged(_CYCLONEDX, path) == ""


@pytest.mark.parametrize("has_all_fields", [True, False])
def test_the_published_schemas_accept_documents_of_any_size(has_all_fields: bool) -> None:
    facts = evidence.facts(100, 5000)
    facts = facts if has_all_fields else select_layer(facts, 1)
    assert schemas.find_violations("spdx", spdx_document.format_spdx(facts)) == []
    assert schemas.find_violations("cyclonedx", cyclonedx_document.format_cyclonedx(facts)) == []


def test_the_schemas_reject_an_invalid_document() -> None:
    facts = evidence.facts()
    broken = spdx_document.format_spdx(facts).replace(b'"SHA256"', b'"SHA257"')
    assert any("SHA257" in violation for violation in schemas.find_violations("spdx", broken))
    broken = cyclonedx_document.format_cyclonedx(facts).replace(b'"operating-system"', b'"operating"')
    assert schemas.find_violations("cyclonedx", broken)
    broken = cyclonedx_document.format_cyclonedx(facts).replace(
        b'"SHA-256","content":"', b'"SHA-256","content":"x'
    )
    assert schemas.find_violations("cyclonedx", broken)


@pytest.mark.parametrize(
    "authors", ["", "Jane Doe <jane@example.com>", "jane@example.com is not of the form"]
)
def test_cyclonedx_has_every_field_that_bsi_requires(authors: str) -> None:
    facts = evidence.facts(20, 200)
    annotations = {**facts.annotations, "org.opencontainers.image.authors": authors}
    document = cyclonedx_document.format_cyclonedx(msgspec.structs.replace(facts, annotations=annotations))
    assert bsi.find_violations(json.loads(document)) == []


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        ("bsi:component:archive", "x", "bsi:component:archive"),
        ("bsi:component:filename", "x", "filename"),
        ('"complete"', '"not_specified"', "completeness of dependencies"),
        ('"acknowledgement":"concluded"', '"acknowledgement":"declared"', "distribution licenses"),
        ("SHA-512", "SHA-384", "SHA-512 of the deployable form"),
        ("mail", "male", "creator"),
        ("source-distribution", "vcs", "source code URI"),
    ],
)
def test_the_checker_for_bsi_detects_missing_fields(old: str, new: str, missing: str) -> None:
    document = cyclonedx_document.format_cyclonedx(evidence.facts()).decode().replace(old, new)
    assert any(violation.endswith(missing) for violation in bsi.find_violations(json.loads(document)))


def test_the_minimum_elements_of_ntia_are_present(tmp_path: Path) -> None:
    path = tmp_path / "image.spdx.json"
    path.write_bytes(spdx_document.format_spdx(evidence.facts(20, 200)))
    process = subprocess.run(
        [Path(sys.executable).parent / "ntia-checker", path, "-c", "ntia"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert re.search(r"(?i)conformant|compliant", process.stdout), process.stdout
    assert not re.search(r"(?i)conformant to [^\n]*: *False", process.stdout), process.stdout
    floating = re.findall(r"\* (SPDXRef-\S+)", process.stdout)
    assert all(name.startswith("SPDXRef-Source-") for name in floating)  # they are not part of the image


@pytest.mark.parametrize(
    "text", ["libstdc++6", "a b", "é", "1:2.3-4~deb12u1+b5", "g@b", "x/y", "a%b", "a?b#c&d=e"]
)
def test_package_urls_are_read_back_by_the_reference_library(text: str) -> None:
    from packageurl import PackageURL

    package_url = purl.format_purl("deb", "debian", text.lower(), text, arch="amd64", upstream=text)
    read = PackageURL.from_string(package_url)
    assert (read.name, read.version) == (text.lower(), text)
    assert read.qualifiers == {"arch": "amd64", "upstream": text}


def test_the_image_and_its_packages_have_package_urls() -> None:
    from packageurl import PackageURL

    facts = evidence.facts()
    for url in (
        identifiers.format_image_url(facts),
        identifiers.format_source_url(facts.packages[0], facts.system),
    ):
        assert PackageURL.from_string(url).name


def test_expressions_of_this_machines_copyright_files_parse() -> None:
    from license_expression import get_spdx_licensing

    licensing = get_spdx_licensing()
    files = sorted(Path("/usr/share/doc").glob("*/copyright"))
    for path in files[:400]:
        copyright_licenses = license_expressions.read_copyright(path.read_bytes(), path.parent.name)
        expression = re.sub(r"LicenseRef-[A-Za-z0-9.-]+", "MIT", copyright_licenses.expression)
        if expression != "NOASSERTION":
            assert licensing.validate(expression).errors == [], (path, copyright_licenses.expression)
