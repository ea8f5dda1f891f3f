"""``pumice save``."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images, peers

Out = pytest.CaptureFixture[str]


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


@pytest.fixture(autouse=True)
def _more_images(host: str, tmp_path: Path) -> None:
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}, {"b": "b"}], name="example.com/other:2.0")


def members(path: str) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        files = [member for member in archive if member.isfile()]
        return {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in files}


def test_one_image_is_the_archive_that_copy_writes(capsys: Out, tmp_path: Path) -> None:
    run(capsys, "copy", "example.com/hello:1.0", "oci-archive:same.tar")
    assert run(capsys, "save", "-o", "a.tar", "example.com/hello:1.0", "--progress", "none") == ("", "")
    assert Path("a.tar").read_bytes() == Path("same.tar").read_bytes()
    run(capsys, "copy", "--only-image", "example.com/hello:1.0", "docker-archive:same.tar")
    run(capsys, "save", "-o", "a.tar", "--format", "docker-archive", "example.com/hello:1.0")
    assert Path("a.tar").read_bytes() == Path("same.tar").read_bytes()


def test_several_images_share_an_archive(capsys: Out) -> None:
    run(capsys, "tag", "example.com/hello:1.0", "example.com/hello:stable")
    references = ("example.com/hello:1.0", "example.com/other:2.0", "example.com/hello:stable")
    run(capsys, "save", "-o", "oci.tar", *references)
    index = json.loads(members("oci.tar")["index.json"])
    names = [descriptor["annotations"]["io.containerd.image.name"] for descriptor in index["manifests"]]
    assert names == list(references)
    run(capsys, "save", "-o", "docker.tar", "--format", "docker-archive", *references)
    saved = json.loads(members("docker.tar")["manifest.json"])
    assert [descriptor["RepoTags"] for descriptor in saved] == [
        [references[0], references[2]],
        [references[1]],
    ]
    assert len(saved[0]["Layers"]) == 1
    assert set(saved[1]["Layers"]) <= set(members("docker.tar"))


def test_skopeo_reads_every_image(capsys: Out) -> None:
    skopeo = peers.need("skopeo")
    run(capsys, "save", "-o", "docker.tar", "--format=docker-archive", *REFERENCES)
    run(capsys, "save", "-o", "oci.tar", *REFERENCES)
    for source in ("docker-archive:docker.tar:example.com/other:2.0", "oci-archive:oci.tar:2.0"):
        process = subprocess.run([skopeo, "inspect", source], capture_output=True, check=True, text=True)
        assert len(json.loads(process.stdout)["Layers"]) == 2


REFERENCES = ("example.com/hello:1.0", "example.com/other:2.0")


def test_what_goes_wrong(capsys: Out) -> None:
    assert "none:1 is not in the local store" in run(capsys, "save", "-o", "a.tar", "none:1", code=10)[1]
    assert not Path("a.tar").exists()
    assert run(capsys, "save", "--format", "oci-dir", "none:1", code=2)[1].startswith(
        "error: --format cannot"
    )
