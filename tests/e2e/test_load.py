"""``pumice load``."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images

Out = pytest.CaptureFixture[str]


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


REFERENCES = ("example.com/hello:1.0", "example.com/other:2.0")
ANYWAY = "--insecure-options=image"


@pytest.fixture(autouse=True)
def _archives(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "other"}], name=REFERENCES[1])
    run(capsys, "save", "-o", "oci.tar", *REFERENCES)
    run(capsys, "save", "-o", "docker.tar", "--format", "docker-archive", *REFERENCES)
    run(capsys, "save", "-o", "one.tar", REFERENCES[0])
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "empty"))


def stored(tmp_path: Path, store: str = "empty") -> dict[str, str]:
    with Home(tmp_path / store) as home:
        return {name: root.digest for name, root in home.refs.all().items()}


@pytest.mark.parametrize("archive", ["oci.tar", "docker.tar"])
def test_all_images_are_loaded_under_their_names(capsys: Out, tmp_path: Path, archive: str) -> None:
    out, _ = run(capsys, "load", "-i", archive, ANYWAY)
    assert out == "".join(f"Loaded image: {name}\n" for name in REFERENCES)
    assert list(stored(tmp_path)) == list(REFERENCES)
    if archive == "oci.tar":
        assert stored(tmp_path) == stored(tmp_path, "store")


def test_standard_input_is_read_compressed_too(
    capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(Path("docker.tar").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(packed)))
    run(capsys, "load", ANYWAY, "--progress", "none")
    assert list(stored(tmp_path)) == list(REFERENCES)


def test_the_only_image_can_get_another_name(capsys: Out, tmp_path: Path) -> None:
    assert run(capsys, "load", "-q", "-i", "one.tar", "mine:3", ANYWAY)[0] == ""
    assert list(stored(tmp_path)) == ["mine:3"]
    assert "holds 2 images" in run(capsys, "load", "-i", "oci.tar", "mine:3", ANYWAY, code=2)[1]


def test_what_nobody_signed_is_refused(capsys: Out, tmp_path: Path) -> None:
    run(capsys, "load", "-i", "one.tar", code=7)
    assert stored(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "code"), [(b"", 10), (b"not an archive", 8), (b"\x1f\x8b", 8), (b"\0" * 10240, 10)]
)
def test_other_files_are_refused(capsys: Out, tmp_path: Path, content: bytes, code: int) -> None:
    (tmp_path / "other.tar").write_bytes(content)
    out, err = run(capsys, "load", "-i", "other.tar", ANYWAY, code=code)
    assert out == ""
    assert "other.tar" in err


def test_an_absent_file(capsys: Out) -> None:
    assert "absent.tar" in run(capsys, "load", "-i", "absent.tar", ANYWAY, code=10)[1]


def test_images_without_a_name_need_one(capsys: Out, tmp_path: Path) -> None:
    run(capsys, "load", "-i", "one.tar", ANYWAY)
    digest = stored(tmp_path)[REFERENCES[0]]
    with Home(tmp_path / "empty") as home:
        home.refs.remove(REFERENCES[0])
    run(capsys, "save", "-o", "unnamed.tar", "--format", "docker-archive", digest)
    assert "has no name for the image" in run(capsys, "load", "-i", "unnamed.tar", ANYWAY, code=10)[1]
    run(capsys, "load", "-i", "unnamed.tar", "named", ANYWAY)
    assert list(stored(tmp_path)) == ["named:latest"]
