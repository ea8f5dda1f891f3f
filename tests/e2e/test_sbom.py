"""The command ``pumice sbom``: documents that a build attaches, their transport, and scans of layers."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pumice.formats import oci
from tests.support import bsi, schemas
from tests.support.docs import ROOT
from tests.support.evidence import attached_documents
from tests.support.world import PACKAGES, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    new_world = World(tmp_path)
    new_world.write("files: [{text: x, to: /srv/x}]\n")
    return new_world


def spdx(world: World, *arguments: str) -> dict[str, Any]:
    pumice_run = world.run("sbom", *arguments)
    assert pumice_run.code == 0, pumice_run.stderr
    document: dict[str, Any] = json.loads(pumice_run.stdout_bytes)
    return document


def test_documents_travel_through_store_layout_and_archive(world: World) -> None:
    world.build("-o", "oci:image", "-o", "oci-archive:image.tar")
    world.build()
    documents = attached_documents(world.project / "image")
    assert set(documents) == {
        "application/spdx+json",
        "application/vnd.cyclonedx+json",
        "application/vnd.in-toto+json",
    }
    for location in ("oci:image", "oci-archive:image.tar", "example.com/hello:1.0"):
        assert world.run("sbom", location).stdout_bytes == documents["application/spdx+json"]
        pumice_run = world.run("sbom", location, "--format", "cyclonedx").stdout_bytes
        assert pumice_run == documents["application/vnd.cyclonedx+json"]


def test_documents_are_collected_only_with_their_image(world: World) -> None:
    world.build()
    before = world.run("sbom", "example.com/hello").stdout_bytes
    assert world.run("gc", "--all").code == 0
    assert world.run("sbom", "example.com/hello").stdout_bytes == before
    assert b"SPDX" in before
    assert world.run("rm", "example.com/hello").code == 0
    assert world.run("gc", "--all").code == 0
    assert list((world.root / "store" / "referrers").iterdir()) == []
    assert not any((world.root / "store" / "blobs" / "sha256").iterdir())


def test_attached_documents_pass_the_published_schemas_and_bsi(world: World) -> None:
    world.write(
        "files: [{text: x, to: /srv/x}, {directory: true, to: /srv/dir}]\n"
        "annotations: {org.opencontainers.image.licenses: MIT}\n"
    )
    world.build("-o", "oci:image")
    documents = attached_documents(world.project / "image")
    assert schemas.find_violations("spdx", documents["application/spdx+json"]) == []
    assert schemas.find_violations("cyclonedx", documents["application/vnd.cyclonedx+json"]) == []
    assert schemas.find_violations("provenance", documents["application/vnd.in-toto+json"]) == []
    silent = {"operating-system debian: creator"}  # os-release in this archive has no URL
    violations = set(bsi.find_violations(json.loads(documents["application/vnd.cyclonedx+json"])))
    assert violations <= silent


def test_every_file_and_package_is_there_with_its_owner(world: World) -> None:
    world.build()
    document = spdx(world, "example.com/hello")
    names = {package["SPDXID"]: package["name"] for package in document["packages"]}
    owners = {
        package["relatedSpdxElement"]: names[package["spdxElementId"]]
        for package in document["relationships"]
        if package["relationshipType"] == "CONTAINS" and "File-" in package["relatedSpdxElement"]
    }
    files = {package["fileName"]: owners[package["SPDXID"]] for package in document["files"]}
    assert files["./usr/bin/hello"] == "hello"
    assert files["./usr/lib/hello/data"] == "libhello"
    assert files["./srv/x"] == "example.com/hello (files)"
    assert files["./var/lib/dpkg/status"] == "pumice (generated files)"
    (data,) = (package for package in document["files"] if package["fileName"] == "./usr/lib/hello/data")
    content = b"data\n" * 1000
    assert data["checksums"] == [
        {"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()},
        {"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()},
    ]
    needs = {
        (names[package["spdxElementId"]], names[package["relatedSpdxElement"]])
        for package in document["relationships"]
        if package["relationshipType"] == "DEPENDS_ON"
    }
    assert ("hello", "libhello") in needs


def test_facts_from_a_scan_equal_those_from_the_build(world: World) -> None:
    world.build()
    built = spdx(world, "example.com/hello")
    read = spdx(world, "example.com/hello", "--scan")
    assert _files(built) == _files(read)
    only_used = {"base-files", "base-passwd"}  # the image has their files, but dpkg does not list them
    assert _packages(built) - only_used == _packages(read)


def _files(document: dict[str, Any]) -> dict[str, Any]:
    return {file["fileName"]: file["checksums"] for file in document["files"]}


def _packages(document: dict[str, Any]) -> set[str]:
    return {package["name"] for package in document["packages"] if "sourceInfo" in package}


def test_a_document_can_describe_a_single_layer(world: World) -> None:
    world.write("layers: packages\n")
    world.build()
    layer_paths = {
        name
        for number in range(1, 5)
        for name in _packages(spdx(world, "example.com/hello", "--layer", str(number)))
    }
    assert {"hello", "libhello"} <= layer_paths
    pumice_run = world.run("sbom", "example.com/hello", "--layer", "99")
    assert (pumice_run.code, "the image has no layer 99" in pumice_run.stderr) == (2, True)


def test_packages_are_printed_as_a_table(world: World) -> None:
    world.build()
    text = world.run("sbom", "example.com/hello", "--format", "table").stdout
    assert text.splitlines()[0].split() == ["package", "version", "arch", "source", "license"]
    assert "packages: 2, files:" in text


def test_packages_are_listed_as_json_and_by_templates(world: World) -> None:
    world.build()
    packages = json.loads(world.run("sbom", "example.com/hello", "--json").stdout)
    assert [package["name"] for package in packages] == ["hello", "libhello"]
    assert packages[0]["purl"].startswith("pkg:deb/debian/hello@")
    assert all(len(package["sha256"]) == 64 and package["files"] > 0 for package in packages)
    lock = json.loads((world.project / "recipe.lock").read_bytes())
    locked = {package["name"]: package["sha256"] for package in lock["packages"]["amd64"]}
    assert all(package["sha256"] == locked[package["name"]] for package in packages)
    scanned = json.loads(world.run("sbom", "example.com/hello", "--json", "--scan").stdout)
    assert {package["sha256"] for package in scanned} == {""}, "layers do not say it"
    lines = world.run("sbom", "example.com/hello", "--format", "{{.Name}} {{.Version}}").stdout.splitlines()
    assert lines == [f"{package['name']} {package['version']}" for package in packages]


def test_the_same_packages_give_the_same_documents_from_any_mirror(world: World) -> None:
    world.build("-o", "oci:one")
    other_mirror = world.root / "other"
    shutil.copytree(world.mirror, other_mirror)
    recipe = world.project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(world.mirror), str(other_mirror)))
    world.build("-o", "oci:two", store="empty")
    first_documents, second_documents = (
        attached_documents(world.project / "one"),
        attached_documents(world.project / "two"),
    )
    for kind in ("application/spdx+json", "application/vnd.cyclonedx+json"):
        assert first_documents[kind] == second_documents[kind]
    for data in (first_documents["application/spdx+json"], first_documents["application/vnd.cyclonedx+json"]):
        assert str(world.root).encode() not in data


def test_provenance_has_all_inputs_of_a_rebuild(world: World) -> None:
    digest = world.build("-o", "oci:image")
    statement = json.loads(attached_documents(world.project / "image")["application/vnd.in-toto+json"])
    assert statement["subject"] == [{"digest": {"sha256": digest[7:]}, "name": "example.com/hello:1.0"}]
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = statement["predicate"]["buildDefinition"]
    external = definition["externalParameters"]
    assert base64.b64decode(external["recipe"]["content"]) == (world.project / "recipe.yaml").read_bytes()
    lock = base64.b64decode(external["lock"]["content"])
    assert lock == (world.project / "recipe.lock").read_bytes()
    assert external["lock"]["digest"]["sha256"] == hashlib.sha256(lock).hexdigest()
    resolved = {dependency["name"]: dependency for dependency in definition["resolvedDependencies"]}
    (package,) = (dependency for name, dependency in resolved.items() if name.startswith("hello_"))
    assert set(package["digest"]) == {"sha256", "sha512"}
    (index,) = (dependency for name, dependency in resolved.items() if name.endswith("InRelease"))
    assert index["annotations"]["signers"]
    assert "keyring" in resolved
    assert resolved["/srv/x"]["digest"] == {"sha256": hashlib.sha256(b"x").hexdigest()}
    assert "startedOn" not in json.dumps(statement)


def test_a_layout_can_list_the_referrers_in_its_index(world: World) -> None:
    world.build("-o", "oci:image", "--referrers-in-index")
    descriptors = json.loads((world.project / "image" / "index.json").read_bytes())["manifests"]
    assert [bool(entry.get("artifactType")) for entry in descriptors] == [False, True, True, True]
    assert spdx(world, "oci:image")["spdxVersion"] == "SPDX-2.3"
    world.build("-o", "oci:image")  # and back
    (descriptor,) = json.loads((world.project / "image" / "index.json").read_bytes())["manifests"]
    assert oci.REFERRERS in descriptor["annotations"]


def test_a_build_with_nothing_to_do_loads_no_evidence(world: World) -> None:
    world.build()
    program = (
        "import sys\nfrom pumice.cli.main import main\ncode = main(sys.argv[1:])\n"
        "assert not [name for name in sys.modules if name.startswith('pumice.evidence')], sys.modules\n"
        "sys.exit(code)"
    )
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, "-c", program, "build", "recipe.yaml", "-o", "oci:image"],
        cwd=world.project,
        env={**os.environ, "PUMICE_HOME": str(world.root / "store")},
        check=True,
    )


def test_the_benchmark_builds_the_same_image_without_evidence(world: World) -> None:
    digest = world.build()
    import subprocess
    import sys

    process = subprocess.run(
        [sys.executable, "-m", "bench.bare", "build", "recipe.yaml", "-o", "oci:bare"],
        cwd=world.project,
        env={
            **os.environ,
            "PUMICE_HOME": str(world.root / "other"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout.strip()) == (0, digest), process.stderr
    (descriptor,) = json.loads((world.project / "bare" / "index.json").read_bytes())["manifests"]
    assert oci.REFERRERS not in descriptor.get("annotations", {})


def test_locking_again_renews_the_provenance_only(world: World) -> None:
    world.build()
    before = _kinds(world)
    (world.project / "recipe.lock").unlink()
    world.publish(PACKAGES, date=1_800_000_000)
    world.build()
    after = _kinds(world)
    assert before.keys() == after.keys()
    assert [kind for kind in before if before[kind] != after[kind]] == ["provenance (SLSA v1)"]


def _kinds(world: World) -> dict[str, str]:
    value = json.loads(world.run("tree", "example.com/hello", "--format", "json").stdout)
    return {
        artifact["what"]: artifact["digest"] for artifact in value["below"] if artifact["what"] != "layer"
    }


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "REF is missing"),
        (("oci:none",), 10, "no such directory"),
        (("nothing:1.0",), 10, "nothing:1.0 is not in the local store"),
        (("x", "--format", "xml"), 2, "--format cannot be 'xml'"),
        (("x", "--layer", "two"), 2, "--layer needs a number, not 'two'"),
    ],
)
def test_invalid_arguments_are_reported(
    world: World, arguments: tuple[str, ...], code: int, text: str
) -> None:
    pumice_run = world.run("sbom", *arguments)
    assert (pumice_run.code, text in pumice_run.stderr, pumice_run.stdout) == (code, True, "")


def test_a_document_that_was_changed_is_refused(world: World) -> None:
    world.build("-o", "oci:image")
    layout = world.project / "image"
    for path in (layout / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        if data.startswith(b'{"spdxVersion"'):
            path.chmod(0o644)
            path.write_bytes(data.replace(b"hello", b"hallo", 1))
    pumice_run = world.run("sbom", "oci:image")
    assert (pumice_run.code, pumice_run.stdout_bytes) == (7, b"")
    assert "does not match its digest" in pumice_run.stderr
