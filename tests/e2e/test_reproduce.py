"""The command ``pumice reproduce``: it reports success, or the layer and path of the first difference."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.deb import Deb
from tests.support.peers import absent, need
from tests.support.world import BASE, World, blob


@pytest.fixture
def world(tmp_path: Path) -> World:
    new_world = World(tmp_path)
    new_world.write(
        "users: [{name: app}]\n"
        "files:\n"
        "  - {from: app, to: /app, owner: app}\n"
        "  - {text: 'x*', to: '/srv/a [b]*', mode: '0600'}\n"
        "  - {link: /srv, to: /srv2}\n"
        "  - {directory: true, to: /data, owner: app}\n"
    )
    (new_world.project / "app" / "inner").mkdir(parents=True)
    (new_world.project / "app" / "inner" / "run.sh").write_text("#!/bin/sh\n")
    (new_world.project / "app" / "inner" / "run.sh").chmod(0o755)
    new_world.build("-o", "oci:image")
    return new_world


def put_blob(layout: Path, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def forge(layout: Path, path: str, *, mode: int | None = None) -> int:
    """Change one byte of a file (or its mode) and update all digests; return the number of the layer."""
    index = json.loads((layout / "index.json").read_bytes())
    descriptor = index["manifests"][0]
    manifest = json.loads(blob(layout, descriptor["digest"]))
    config = json.loads(blob(layout, manifest["config"]["digest"]))
    layer_number = 0
    for number, layer in enumerate(manifest["layers"]):
        archive = gzip.decompress(blob(layout, layer["digest"]))
        out = io.BytesIO()
        with (
            tarfile.open(fileobj=io.BytesIO(archive)) as old_archive,
            tarfile.open(fileobj=out, mode="w") as new_archive,
        ):
            for member in old_archive:
                body = old_archive.extractfile(member) if member.isfile() else None
                data = body.read() if body else b""
                if member.name.removeprefix("./") == path:
                    layer_number = number + 1
                    member.mode = mode or member.mode
                    data = data if mode else bytes([data[0] ^ 1]) + data[1:]
                new_archive.addfile(member, io.BytesIO(data) if body else None)
        if layer_number == number + 1:
            layer.update(put_blob(layout, gzip.compress(out.getvalue())))
            config["rootfs"]["diff_ids"][number] = "sha256:" + hashlib.sha256(out.getvalue()).hexdigest()
    manifest["config"] |= put_blob(layout, json.dumps(config).encode())
    old_digest = descriptor["digest"]
    descriptor |= put_blob(layout, json.dumps(manifest).encode())
    referrers = json.loads(blob(layout, descriptor["annotations"]["dev.pumice.referrers"]))
    for referrer in referrers["manifests"]:
        artifact = json.loads(blob(layout, referrer["digest"]))
        text = blob(layout, artifact["layers"][0]["digest"]).replace(
            old_digest[7:].encode(), descriptor["digest"][7:].encode()
        )
        artifact["layers"][0] |= put_blob(layout, text)
        artifact["subject"] |= {key: descriptor[key] for key in ("digest", "size")}
        referrer.update(put_blob(layout, json.dumps(artifact).encode()))
    descriptor["annotations"]["dev.pumice.referrers"] = put_blob(layout, json.dumps(referrers).encode())[
        "digest"
    ]
    (layout / "index.json").write_text(json.dumps(index))
    return layer_number


def test_an_image_is_reproduced_from_its_attached_provenance(world: World) -> None:
    shutil.rmtree(world.project / "app")  # only the image and the mirror are necessary
    pumice_run = world.run("reproduce", "oci:image", store="empty", cwd=world.root)
    assert pumice_run.code != 0  # this directory contains no image
    shutil.copytree(world.project / "image", world.root / "image")
    pumice_run = world.run("reproduce", "oci:image", store="empty", cwd=world.root)
    assert (pumice_run.code, pumice_run.stdout[:19]) == (0, "reproduced: sha256:"), pumice_run.stderr


def test_reproduce_takes_packages_from_the_store(world: World) -> None:
    world.build()
    shutil.rmtree(world.mirror)
    pumice_run = world.run("reproduce", "example.com/hello", "--offline", "--format", "json")
    assert pumice_run.code == 0, pumice_run.stderr
    assert json.loads(pumice_run.stdout)["reproduced"] is True


@pytest.mark.parametrize("path", ["usr/bin/hello", "usr/lib/hello/data", "etc/passwd"])
def test_a_forged_byte_is_reported_by_layer_and_path(world: World, path: str) -> None:
    layer = forge(world.project / "image", path)
    assert layer
    pumice_run = world.run("reproduce", "oci:image", "--format", "json")
    assert pumice_run.code == 1, pumice_run.stderr
    difference = json.loads(pumice_run.stdout)["difference"]
    assert (difference["layer"], difference["path"], difference["what"]) == (layer, f"/{path}", "content")
    text = world.run("reproduce", "oci:image").stdout
    assert f"first difference: layer {layer} (" in text
    assert f"/{path}: content" in text


def test_a_forged_mode_is_detected(world: World) -> None:
    forge(world.project / "image", "usr/bin/hello", mode=0o4755)
    difference = json.loads(world.run("reproduce", "oci:image", "--format", "json").stdout)["difference"]
    assert (difference["what"], difference["given"], difference["rebuilt"]) == ("mode", "4755", "0755")


def test_a_forged_recipe_file_is_detected_with_and_without_its_source(world: World) -> None:
    forge(world.project / "image", "app/inner/run.sh")
    for arguments in ((), ("--source", ".")):
        pumice_run = world.run("reproduce", "oci:image", *arguments, "--format", "json")
        assert pumice_run.code == 1, pumice_run.stderr
        assert json.loads(pumice_run.stdout)["difference"]["path"] == "/app/inner/run.sh"


def test_a_changed_source_file_is_detected(world: World) -> None:
    assert world.run("reproduce", "oci:image", "--source", ".").code == 0
    (world.project / "app" / "inner" / "run.sh").write_text("#!/bin/no\n")
    pumice_run = world.run("reproduce", "oci:image", "--source", ".")
    assert (pumice_run.code, "/app/inner/run.sh" in pumice_run.stdout) == (1, True)


def test_reproduce_from_a_bundle_needs_no_network(world: World) -> None:
    need("unshare")
    probe = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    if probe.returncode:
        absent("no network namespaces here")
    assert world.run("lock", "recipe.yaml", "--bundle", "bundle").code == 0
    shutil.rmtree(world.mirror)
    import os
    import sys

    process = subprocess.run(
        ["unshare", "-rn", sys.executable, "-m", "pumice", "reproduce", "oci:image", "--bundle", "bundle"],
        cwd=world.project,
        env={**os.environ, "PUMICE_HOME": str(world.root / "empty")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout[:11]) == (0, "reproduced:"), process.stderr


def test_reproduce_uses_a_snapshot_mirror_if_mirrors_have_newer_packages(world: World) -> None:
    lock = json.loads((world.project / "recipe.lock").read_bytes())
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(lock["indexes"][0]["date"]))
    shutil.copytree(world.mirror, world.root / "past" / "debian" / date)
    shutil.rmtree(world.mirror / "pool")
    world.publish([*BASE, Deb("hello", "2.0-1")], date=1_800_000_000)
    failed_run = world.run("reproduce", "oci:image", store="empty")
    assert (failed_run.code, "snapshot mirror" in failed_run.stderr) == (6, True), failed_run.stderr
    config = world.root / "config.yaml"
    config.write_text(f"debian:\n  snapshots: ['file://{world.root}/past/{{archive}}/{{date}}']\n")
    pumice_run = world.run(
        "reproduce", "oci:image", store="empty", environment={"PUMICE_CONFIG": str(config)}
    )
    assert (pumice_run.code, pumice_run.stdout[:11]) == (0, "reproduced:"), pumice_run.stderr


def test_the_provenance_of_another_image_is_rejected(world: World) -> None:
    (world.project / "p.json").write_text("{}")
    pumice_run = world.run("reproduce", "oci:image", "--provenance", "p.json")
    assert (pumice_run.code, "not an in-toto statement" in pumice_run.stderr) == (8, True)
    world.write("environment: {A: b}\n")
    world.build("-o", "oci:other")
    for path in (world.project / "image" / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        if data.startswith(b'{"_type"'):
            (world.project / "p.json").write_bytes(data)
    pumice_run = world.run("reproduce", "oci:other", "--provenance", "p.json")
    assert (pumice_run.code, "for another image" in pumice_run.stderr) == (7, True)


def test_an_image_without_provenance_is_refused(world: World) -> None:
    index = world.project / "image" / "index.json"
    value = json.loads(index.read_bytes())
    del value["manifests"][0]["annotations"]["dev.pumice.referrers"]
    index.write_text(json.dumps(value))
    pumice_run = world.run("reproduce", "oci:image")
    assert (pumice_run.code, "no provenance is attached" in pumice_run.stderr) == (10, True)
    assert not any((world.root / "store" / "tmp").iterdir())
