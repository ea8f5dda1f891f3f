"""``pumice reproduce``: identical, or the first difference by layer and path."""

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
    made = World(tmp_path)
    made.write(
        "users: [{name: app}]\n"
        "files:\n"
        "  - {from: app, to: /app, owner: app}\n"
        "  - {text: 'x*', to: '/srv/a [b]*', mode: '0600'}\n"
        "  - {link: /srv, to: /srv2}\n"
        "  - {directory: true, to: /data, owner: app}\n"
    )
    (made.project / "app" / "inner").mkdir(parents=True)
    (made.project / "app" / "inner" / "run.sh").write_text("#!/bin/sh\n")
    (made.project / "app" / "inner" / "run.sh").chmod(0o755)
    made.build("-o", "oci:image")
    return made


def put(layout: Path, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def forge(layout: Path, path: str, *, mode: int | None = None) -> int:
    """Change one byte of a file (or its mode), and everything above so that it fits; return the layer."""
    index = json.loads((layout / "index.json").read_bytes())
    descriptor = index["manifests"][0]
    manifest = json.loads(blob(layout, descriptor["digest"]))
    config = json.loads(blob(layout, manifest["config"]["digest"]))
    changed = 0
    for number, layer in enumerate(manifest["layers"]):
        plain = gzip.decompress(blob(layout, layer["digest"]))
        out = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(plain)) as old, tarfile.open(fileobj=out, mode="w") as new:
            for member in old:
                body = old.extractfile(member) if member.isfile() else None
                data = body.read() if body else b""
                if member.name.removeprefix("./") == path:
                    changed = number + 1
                    member.mode = mode or member.mode
                    data = data if mode else bytes([data[0] ^ 1]) + data[1:]
                new.addfile(member, io.BytesIO(data) if body else None)
        if changed == number + 1:
            layer.update(put(layout, gzip.compress(out.getvalue())))
            config["rootfs"]["diff_ids"][number] = "sha256:" + hashlib.sha256(out.getvalue()).hexdigest()
    manifest["config"] |= put(layout, json.dumps(config).encode())
    old = descriptor["digest"]
    descriptor |= put(layout, json.dumps(manifest).encode())
    listed = json.loads(blob(layout, descriptor["annotations"]["dev.pumice.referrers"]))
    for one in listed["manifests"]:
        artifact = json.loads(blob(layout, one["digest"]))
        text = blob(layout, artifact["layers"][0]["digest"]).replace(
            old[7:].encode(), descriptor["digest"][7:].encode()
        )
        artifact["layers"][0] |= put(layout, text)
        artifact["subject"] |= {key: descriptor[key] for key in ("digest", "size")}
        one.update(put(layout, json.dumps(artifact).encode()))
    descriptor["annotations"]["dev.pumice.referrers"] = put(layout, json.dumps(listed).encode())["digest"]
    (layout / "index.json").write_text(json.dumps(index))
    return changed


def test_an_image_is_reproduced_from_its_attached_provenance(world: World) -> None:
    shutil.rmtree(world.project / "app")  # nothing but the image and the mirror is needed
    done = world.run("reproduce", "oci:image", store="empty", cwd=world.root)
    assert done.code != 0  # there is no image in that folder
    shutil.copytree(world.project / "image", world.root / "image")
    done = world.run("reproduce", "oci:image", store="empty", cwd=world.root)
    assert (done.code, done.stdout[:19]) == (0, "reproduced: sha256:"), done.stderr


def test_reproduce_takes_packages_from_the_store(world: World) -> None:
    world.build()
    shutil.rmtree(world.mirror)
    done = world.run("reproduce", "example.com/hello", "--offline", "--format", "json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["reproduced"] is True


@pytest.mark.parametrize("path", ["usr/bin/hello", "usr/lib/hello/data", "etc/passwd"])
def test_a_forged_byte_is_reported_by_layer_and_path(world: World, path: str) -> None:
    layer = forge(world.project / "image", path)
    assert layer
    done = world.run("reproduce", "oci:image", "--format", "json")
    assert done.code == 1, done.stderr
    difference = json.loads(done.stdout)["difference"]
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
        done = world.run("reproduce", "oci:image", *arguments, "--format", "json")
        assert done.code == 1, done.stderr
        assert json.loads(done.stdout)["difference"]["path"] == "/app/inner/run.sh"


def test_a_changed_source_file_is_detected(world: World) -> None:
    assert world.run("reproduce", "oci:image", "--source", ".").code == 0
    (world.project / "app" / "inner" / "run.sh").write_text("#!/bin/no\n")
    done = world.run("reproduce", "oci:image", "--source", ".")
    assert (done.code, "/app/inner/run.sh" in done.stdout) == (1, True)


def test_from_a_bundle_without_any_network_interface(world: World) -> None:
    need("unshare")
    probe = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    if probe.returncode:
        absent("no network namespaces here")
    assert world.run("lock", "recipe.yaml", "--bundle", "bundle").code == 0
    shutil.rmtree(world.mirror)
    import os
    import sys

    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-m", "pumice", "reproduce", "oci:image", "--bundle", "bundle"],
        cwd=world.project,
        env={**os.environ, "PUMICE_HOME": str(world.root / "empty")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout[:11]) == (0, "reproduced:"), done.stderr


def test_from_a_snapshot_mirror_when_mirrors_have_moved_on(world: World) -> None:
    lock = json.loads((world.project / "recipe.lock").read_bytes())
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(lock["indexes"][0]["date"]))
    shutil.copytree(world.mirror, world.root / "past" / "debian" / date)
    shutil.rmtree(world.mirror / "pool")
    world.publish([*BASE, Deb("hello", "2.0-1")], date=1_800_000_000)
    gone = world.run("reproduce", "oci:image", store="empty")
    assert (gone.code, "snapshot mirror" in gone.stderr) == (6, True), gone.stderr
    config = world.root / "config.yaml"
    config.write_text(f"debian:\n  snapshots: ['file://{world.root}/past/{{archive}}/{{date}}']\n")
    done = world.run("reproduce", "oci:image", store="empty", environment={"PUMICE_CONFIG": str(config)})
    assert (done.code, done.stdout[:11]) == (0, "reproduced:"), done.stderr


def test_the_provenance_of_another_image_is_rejected(world: World) -> None:
    (world.project / "p.json").write_text("{}")
    done = world.run("reproduce", "oci:image", "--provenance", "p.json")
    assert (done.code, "not an in-toto statement" in done.stderr) == (8, True)
    world.write("environment: {A: b}\n")
    world.build("-o", "oci:other")
    for path in (world.project / "image" / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        if data.startswith(b'{"_type"'):
            (world.project / "p.json").write_bytes(data)
    done = world.run("reproduce", "oci:other", "--provenance", "p.json")
    assert (done.code, "for another image" in done.stderr) == (7, True)


def test_an_image_without_provenance(world: World) -> None:
    index = world.project / "image" / "index.json"
    value = json.loads(index.read_bytes())
    del value["manifests"][0]["annotations"]["dev.pumice.referrers"]
    index.write_text(json.dumps(value))
    done = world.run("reproduce", "oci:image")
    assert (done.code, "no provenance is attached" in done.stderr) == (10, True)
    assert not any((world.root / "store" / "tmp").iterdir())
