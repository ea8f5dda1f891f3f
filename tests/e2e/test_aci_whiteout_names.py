"""Names that begin with ``.wh.``: files to App Container, which has no whiteouts, but not to layers of OCI.

Commands that keep the format treat them as any other name. Commands that convert an image to layers, where
other tools would remove files because of them, refuse the image.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.formats.tar import Entry
from tests.support import aci, handmade
from tests.support.publishers import enter_home
from tests.support.publishers import run as run_command

Out = pytest.CaptureFixture[str]
NAMES = (".wh.kept", ".wh..wh..opq", ".wh.", ".wh.folder/file")
KEEPING = (
    "aci validate named.aci",
    "aci cat-manifest named.aci",
    "aci patch-manifest --exec /b named.aci other.aci",
    "aci encrypt --passphrase-file passphrase named.aci other.aci",
)
CONVERTING = (
    "aci render named.aci dir:out",
    "aci render named.aci aci:out",
    "aci render top.aci --dependency named.aci dir:out",
    "convert aci:named.aci oci:out",
    "convert aci:named.aci docker-archive:out",
    "copy --insecure-options=image aci:named.aci store:a:1",
    "copy aci:named.aci dir:out",
    "files aci:named.aci",
    "sbom aci:named.aci",
    "diff aci:named.aci aci:plain.aci",
    "run --insecure-options=image aci:named.aci",
    "run --insecure-options=image aci:top.aci",
    "prepare --insecure-options=image --name made aci:named.aci",
    "play --insecure-options=image --aci named.aci pod.json",
)


def write(path: Path, name: str) -> str:
    """Write an image with a file that a whiteout would remove, and one with a name; return its ID."""
    folders = [Entry(name.partition("/")[0], "dir", 0o700)] if "/" in name else []
    items = [handmade.file("kept", b"1"), *((folder, b"") for folder in folders), handmade.file(name, b"2")]
    return aci.image(path, items, name="example.com/named", app={"exec": ["/a"], "user": "0", "group": "0"})


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name, and a directory with an image that has it."""
    folder = tmp_path / "project"
    folder.mkdir()
    enter_home(tmp_path, monkeypatch)
    monkeypatch.chdir(folder)
    image_id = write(folder / "named.aci", str(request.param))
    aci.image(folder / "plain.aci", [], name="example.com/plain")
    app = {"exec": ["/a"], "user": "0", "group": "0"}
    aci.image(
        folder / "top.aci",
        [],
        name="example.com/top",
        app=app,
        dependencies=[{"imageName": "example.com/named"}],
    )
    apps = [{"name": "a", "image": {"id": image_id}}]
    pod = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps}
    Path("pod.json").write_text(json.dumps(pod))
    Path("passphrase").write_text("x")
    return str(request.param)


@pytest.mark.parametrize("command", KEEPING)
def test_commands_that_keep_the_format_accept_any_name(command: str, name: str, capsys: Out) -> None:
    assert main(command.split()) == 0, capsys.readouterr()


def test_an_image_is_extracted_and_built_again_without_a_change(name: str, capsys: Out) -> None:
    run_command(capsys, "aci", "extract", "named.aci", "layout")
    assert Path("layout/rootfs/kept").read_bytes() == b"1"
    assert Path("layout/rootfs", name).read_bytes() == b"2"
    run_command(capsys, "aci", "build", "--owner-root", "layout", "again.aci")
    run_command(capsys, "aci", "extract", "--rootfs-only", "again.aci", "root")
    assert sorted(path.name for path in Path("root").rglob("*")) == sorted({"kept", *name.split("/")})


def test_commands_that_make_layers_refuse_such_a_name(name: str, capsys: Out) -> None:
    before = sorted(Path().rglob("*"))
    for command in CONVERTING:
        code = main(command.split())
        out, err = capsys.readouterr()
        assert (code, out) == (8, ""), (command, err)
        assert f"error: named.aci: '{name.partition('/')[0]}" in err, (command, err)
        assert "begins with .wh., which marks removed files in layers of OCI images" in err
        assert sorted(Path().rglob("*")) == before, command
    assert not list(Path(os.environ["PUMICE_HOME"], "tmp").glob("*"))
