"""``pumice aci``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support import aci
from tests.support.handmade import file, folder, hardlink, symlink

Out = pytest.CaptureFixture[str]
ITEMS = [folder(""), folder("d", 0o700), file("d/a", b"hello", mtime=1_700_000_000), hardlink("d/b", "d/a")]


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(("aci", *arguments)) == code
    out, err = capsys.readouterr()
    return out, err


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    aci.image(tmp_path / "a.aci", [*ITEMS, symlink("link", "d/a")], name="example.com/a")
    return tmp_path


def test_validate_recognizes_images_layouts_and_manifests(capsys: Out) -> None:
    run(capsys, "extract", "a.aci", "layout")
    out, err = run(capsys, "validate", "a.aci", "layout", "layout/manifest")
    lines = out.splitlines()
    assert lines[0].startswith("a.aci: valid App Container image, sha512-")
    assert lines[1:] == [
        "layout: valid App Container image layout",
        "layout/manifest: valid App Container manifest",
    ]
    assert err == ""


def test_validate_reports_every_file_and_warnings(capsys: Out, directory: Path) -> None:
    Path("bad.json").write_text('{"acKind":"ImageManifest"}')
    Path("odd.json").write_bytes(aci.manifest(future=1))
    out, err = run(capsys, "validate", "bad.json", "nothing", "odd.json", code=10)
    assert out == "odd.json: valid App Container manifest\n"
    assert "bad.json: manifest: the member 'acVersion' is missing" in err
    assert "nothing: the file does not exist" in err
    assert "warning: odd.json: manifest: unknown member 'future'" in err


def test_cat_manifest_prints_the_bytes_of_the_image(capsys: Out) -> None:
    assert run(capsys, "cat-manifest", "a.aci")[0].encode() == aci.manifest("example.com/a") + b"\n"
    assert run(capsys, "cat-manifest", "--pretty-print", "a.aci")[0].splitlines()[1].startswith("    ")


def test_a_layout_is_built_again_with_the_same_bytes(capsys: Out, directory: Path) -> None:
    run(capsys, "extract", "a.aci", "layout")
    first, _ = run(capsys, "build", "layout", "b.aci", "--owner-root")
    assert first.startswith("sha512-")
    assert "the file exists" in run(capsys, "build", "layout", "b.aci", code=10)[1]
    data = Path("b.aci").read_bytes()
    assert run(capsys, "build", "layout", "b.aci", "--overwrite", "--owner-root")[0] == first
    assert Path("b.aci").read_bytes() == data
    assert run(capsys, "build", "layout", "c.aci", "--owner-root", "--no-compression")[0] == first
    run(capsys, "extract", "--rootfs-only", "b.aci", "root")
    assert (Path("root/d/a").stat().st_ino) == Path("root/d/b").stat().st_ino
    assert Path("root/d/a").stat().st_mtime == 1_700_000_000
    assert Path("root/d").stat().st_mode & 0o777 == 0o700
    assert str(Path("root/link").readlink()) == "d/a"


def test_times_are_limited_by_source_date_epoch(
    capsys: Out, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    run(capsys, "extract", "a.aci", "layout")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000")
    run(capsys, "build", "layout", "b.aci")
    os.utime("layout/rootfs/d")
    ids = {run(capsys, "build", "layout", "b.aci", "--overwrite")[0] for _ in range(2)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["manifest"], "the directory has no rootfs"),
        (["rootfs/"], "the directory has no manifest"),
        (["manifest", "rootfs/", "other"], "has 'other', which an image cannot have"),
        (["manifest", "rootfs"], "rootfs is not a directory"),
    ],
)
def test_a_directory_that_is_not_a_layout_is_refused(capsys: Out, names: list[str], sentence: str) -> None:
    Path("layout").mkdir()
    for name in names:
        if name.endswith("/"):
            Path("layout", name).mkdir()
        else:
            Path("layout", name).write_bytes(aci.manifest())
    assert sentence in run(capsys, "build", "layout", "b.aci", code=10)[1]
    assert not Path("b.aci").exists()


def test_patch_manifest_has_the_options_of_actool(capsys: Out, directory: Path) -> None:
    options = {
        "--name": "example.com/b",
        "--exec": "/bin/a 'b c'",
        "--user": "1",
        "--group": "2",
        "--supplementary-groups": "3,4",
        "--capability": "CAP_KILL,CAP_CHOWN",
        "--mounts": "w,path=/w,readOnly=true:v,path=/v",
        "--ports": "http,protocol=tcp,port=80:dns,protocol=udp,port=53,count=2",
        "--isolators": "resource/cpu,request=50m,limit=100m:resource/memory,limit=1G",
        "--seccomp-mode": "retain,errno=EPERM",
        "--seccomp-set": "read,@appc.io/all",
    }
    words = [word for pair in options.items() for word in pair]
    out, _ = run(capsys, "patch-manifest", *words, "a.aci", "b.aci")
    assert out.startswith("sha512-")
    manifest = json.loads(run(capsys, "cat-manifest", "b.aci")[0])
    assert manifest["name"] == "example.com/b"
    assert manifest["app"] == {
        "exec": ["/bin/a", "b c"],
        "user": "1",
        "group": "2",
        "supplementaryGIDs": [3, 4],
        "mountPoints": [{"name": "w", "path": "/w", "readOnly": True}, {"name": "v", "path": "/v"}],
        "ports": [
            {"name": "http", "protocol": "tcp", "port": 80},
            {"name": "dns", "protocol": "udp", "port": 53, "count": 2},
        ],
        "isolators": [
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL", "CAP_CHOWN"]}},
            {"name": "resource/cpu", "value": {"request": "50m", "limit": "100m"}},
            {"name": "resource/memory", "value": {"limit": "1G"}},
            {
                "name": "os/linux/seccomp-retain-set",
                "value": {"set": ["read", "@appc.io/all"], "errno": "EPERM"},
            },
        ],
    }
    run(capsys, "patch-manifest", "--replace", "--revoke-capability", "CAP_KILL", "b.aci")
    names = [each["name"] for each in json.loads(run(capsys, "cat-manifest", "b.aci")[0])["app"]["isolators"]]
    assert "os/linux/capabilities-remove-set" in names
    assert "os/linux/capabilities-retain-set" not in names  # they exclude each other


def test_patch_manifest_refuses_what_is_invalid_and_leaves_the_file(capsys: Out, directory: Path) -> None:
    data = Path("a.aci").read_bytes()
    for options, code in (
        (["--name", "A"], 8),
        (["--user", ""], 2),
        (["--exec", "'"], 2),
        (["--isolators", "resource/cpu,limit=x"], 8),
        (["--isolators", "os/linux/x"], 2),
        (["--seccomp-mode", "retain"], 2),
        (["--ports", "a"], 8),
        (["--supplementary-groups", "x"], 2),
    ):
        run(capsys, "patch-manifest", "--replace", *options, "a.aci", code=code)
        if code:
            assert Path("a.aci").read_bytes() == data


def test_render_writes_to_any_destination(capsys: Out, directory: Path) -> None:
    image_id = aci.image(directory / "base.aci", [folder(""), file("base", b"b")], name="example.com/base")
    dependencies = [{"imageName": "example.com/base", "imageID": image_id}]
    aci.image(
        directory / "app.aci",
        [folder(""), file("app", b"a")],
        name="example.com/app",
        dependencies=dependencies,
    )
    run(capsys, "render", "app.aci", "--dependency", "base.aci", "dir:root")
    assert sorted(path.name for path in Path("root").iterdir()) == ["app", "base"]
    run(capsys, "render", "app.aci", "--dependency", "base.aci", "aci:whole.aci")
    assert "dependencies" not in json.loads(run(capsys, "cat-manifest", "whole.aci")[0])
    aci.image(directory / "base.aci", [folder(""), file("evil")], name="example.com/base")
    assert (
        "does not have the ID"
        in run(capsys, "render", "app.aci", "--dependency", "base.aci", "dir:other", code=7)[1]
    )
    assert not Path("other").exists()
    assert "was not given" in run(capsys, "render", "app.aci", "dir:other", code=10)[1]
