"""``pumice sbom``: what a build attaches, how it travels, and what is read from anybody's layers."""

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
from tests.support.world import PACKAGES, World, blob


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.write("files: [{text: x, to: /srv/x}]\n")
    return made


def attached(layout: Path) -> dict[str, bytes]:
    """Return the documents about the image in a layout, by artifact type."""
    (descriptor,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    listed = json.loads(blob(layout, descriptor["annotations"][oci.REFERRERS]))["manifests"]
    found = {}
    for one in listed:
        manifest = json.loads(blob(layout, one["digest"]))
        assert manifest["subject"]["digest"] == descriptor["digest"]
        assert manifest["config"]["mediaType"] == oci.EMPTY
        assert manifest["artifactType"] == one["artifactType"] == manifest["layers"][0]["mediaType"]
        assert blob(layout, manifest["config"]["digest"]) == b"{}"
        found[one["artifactType"]] = blob(layout, manifest["layers"][0]["digest"])
    return found


def spdx(world: World, *arguments: str) -> dict[str, Any]:
    done = world.run("sbom", *arguments)
    assert done.code == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout_bytes)
    return document


def test_documents_travel_through_store_layout_and_archive(world: World) -> None:
    world.build("-o", "oci:image", "-o", "oci-archive:image.tar")
    world.build()
    documents = attached(world.project / "image")
    assert set(documents) == {
        "application/spdx+json",
        "application/vnd.cyclonedx+json",
        "application/vnd.in-toto+json",
    }
    for place in ("oci:image", "oci-archive:image.tar", "example.com/hello:1.0"):
        assert world.run("sbom", place).stdout_bytes == documents["application/spdx+json"]
        found = world.run("sbom", place, "--format", "cyclonedx").stdout_bytes
        assert found == documents["application/vnd.cyclonedx+json"]


def test_they_survive_a_collection_and_go_with_the_image(world: World) -> None:
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
    documents = attached(world.project / "image")
    assert schemas.find_violations("spdx", documents["application/spdx+json"]) == []
    assert schemas.find_violations("cyclonedx", documents["application/vnd.cyclonedx+json"]) == []
    assert schemas.find_violations("provenance", documents["application/vnd.in-toto+json"]) == []
    silent = {"operating-system debian: creator"}  # the os-release of this archive names no site
    found = set(bsi.find_violations(json.loads(documents["application/vnd.cyclonedx+json"])))
    assert found <= silent


def test_every_file_and_package_is_there_with_its_owner(world: World) -> None:
    world.build()
    document = spdx(world, "example.com/hello")
    names = {one["SPDXID"]: one["name"] for one in document["packages"]}
    owners = {
        one["relatedSpdxElement"]: names[one["spdxElementId"]]
        for one in document["relationships"]
        if one["relationshipType"] == "CONTAINS" and "File-" in one["relatedSpdxElement"]
    }
    files = {one["fileName"]: owners[one["SPDXID"]] for one in document["files"]}
    assert files["./usr/bin/hello"] == "hello"
    assert files["./usr/lib/hello/data"] == "libhello"
    assert files["./srv/x"] == "example.com/hello (files)"
    assert files["./var/lib/dpkg/status"] == "pumice (generated files)"
    (data,) = (one for one in document["files"] if one["fileName"] == "./usr/lib/hello/data")
    content = b"data\n" * 1000
    assert data["checksums"] == [
        {"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()},
        {"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()},
    ]
    needs = {
        (names[one["spdxElementId"]], names[one["relatedSpdxElement"]])
        for one in document["relationships"]
        if one["relationshipType"] == "DEPENDS_ON"
    }
    assert ("hello", "libhello") in needs


def test_facts_from_a_scan_equal_those_from_the_build(world: World) -> None:
    world.build()
    built = spdx(world, "example.com/hello")
    read = spdx(world, "example.com/hello", "--scan")
    assert _files(built) == _files(read)
    only_used = {"base-files", "base-passwd"}  # their files are there, and dpkg does not list them
    assert _packages(built) - only_used == _packages(read)


def _files(document: dict[str, Any]) -> dict[str, Any]:
    return {one["fileName"]: one["checksums"] for one in document["files"]}


def _packages(document: dict[str, Any]) -> set[str]:
    return {one["name"] for one in document["packages"] if "sourceInfo" in one}


def test_a_layer_by_itself(world: World) -> None:
    world.write("layers: packages\n")
    world.build()
    found = {
        name
        for number in range(1, 5)
        for name in _packages(spdx(world, "example.com/hello", "--layer", str(number)))
    }
    assert {"hello", "libhello"} <= found
    wrong = world.run("sbom", "example.com/hello", "--layer", "99")
    assert (wrong.code, "the image has no layer 99" in wrong.stderr) == (2, True)


def test_the_table(world: World) -> None:
    world.build()
    text = world.run("sbom", "example.com/hello", "--format", "table").stdout
    assert text.splitlines()[0].split() == ["package", "version", "arch", "source", "license"]
    assert "packages: 2, files:" in text


def test_the_same_packages_give_the_same_documents_from_any_mirror(world: World) -> None:
    world.build("-o", "oci:one")
    other = world.root / "other"
    shutil.copytree(world.mirror, other)
    recipe = world.project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(world.mirror), str(other)))
    world.build("-o", "oci:two", store="empty")
    one, two = attached(world.project / "one"), attached(world.project / "two")
    for kind in ("application/spdx+json", "application/vnd.cyclonedx+json"):
        assert one[kind] == two[kind]
    for data in (one["application/spdx+json"], one["application/vnd.cyclonedx+json"]):
        assert str(world.root).encode() not in data


def test_provenance_has_all_inputs_of_a_rebuild(world: World) -> None:
    digest = world.build("-o", "oci:image")
    statement = json.loads(attached(world.project / "image")["application/vnd.in-toto+json"])
    assert statement["subject"] == [{"digest": {"sha256": digest[7:]}, "name": "example.com/hello:1.0"}]
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = statement["predicate"]["buildDefinition"]
    external = definition["externalParameters"]
    assert base64.b64decode(external["recipe"]["content"]) == (world.project / "recipe.yaml").read_bytes()
    lock = base64.b64decode(external["lock"]["content"])
    assert lock == (world.project / "recipe.lock").read_bytes()
    assert external["lock"]["digest"]["sha256"] == hashlib.sha256(lock).hexdigest()
    resolved = {one["name"]: one for one in definition["resolvedDependencies"]}
    (package,) = (one for name, one in resolved.items() if name.startswith("hello_"))
    assert set(package["digest"]) == {"sha256", "sha512"}
    (index,) = (one for name, one in resolved.items() if name.endswith("InRelease"))
    assert index["annotations"]["signers"]
    assert "keyring" in resolved
    assert resolved["/srv/x"]["digest"] == {"sha256": hashlib.sha256(b"x").hexdigest()}
    assert "startedOn" not in json.dumps(statement)


def test_an_index_that_lists_the_referrers(world: World) -> None:
    world.build("-o", "oci:image", "--referrers-in-index")
    listed = json.loads((world.project / "image" / "index.json").read_bytes())["manifests"]
    assert [bool(one.get("artifactType")) for one in listed] == [False, True, True, True]
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

    done = subprocess.run(
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
    assert (done.returncode, done.stdout.strip()) == (0, digest), done.stderr
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
    return {one["what"]: one["digest"] for one in value["below"] if one["what"] != "layer"}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "REF is missing"),
        (("oci:none",), 10, "not an OCI layout"),
        (("nothing:1.0",), 10, "there is no image nothing:1.0"),
        (("x", "--format", "xml"), 2, "--format cannot be 'xml'"),
        (("x", "--layer", "two"), 2, "--layer needs a number, not 'two'"),
    ],
)
def test_bad_command_lines(world: World, arguments: tuple[str, ...], code: int, text: str) -> None:
    done = world.run("sbom", *arguments)
    assert (done.code, text in done.stderr, done.stdout) == (code, True, "")


def test_a_document_that_was_changed_is_refused(world: World) -> None:
    world.build("-o", "oci:image")
    layout = world.project / "image"
    for path in (layout / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        if data.startswith(b'{"spdxVersion"'):
            path.chmod(0o644)
            path.write_bytes(data.replace(b"hello", b"hallo", 1))
    done = world.run("sbom", "oci:image")
    assert (done.code, done.stdout_bytes) == (7, b"")
    assert "does not match its digest" in done.stderr
