"""``pumice publish``."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.publish import torrent_files, tree_files
from pumice.store.home import Home
from tests.support import handmade, images
from tests.support.publishers import run, write_image

Out = pytest.CaptureFixture[str]
IMAGE = "example.com/hello:1.0"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "secret")
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}], name=IMAGE)
    run(capsys, "key", "generate", "--openpgp", "Ada <ada@example.com>", "--output", "release")
    return tmp_path


def publish(capsys: Out, *references: str, code: int = 0) -> tuple[str, str]:
    tree = ("--appc", "www", "--url", "https://example.com/", "--key", "release.key")
    return run(capsys, "publish", *tree, *references, code=code)


def test_the_tree_has_images_signatures_keys_pages_and_an_index(capsys: Out) -> None:
    out, err = publish(capsys, IMAGE)
    assert out == "https://example.com/aci/example.com/hello-1.0-linux-amd64.aci\n"
    assert "published 1 image to www" in err
    page = Path("www/hello/index.html").read_text()
    assert 'content="example.com https://example.com/aci/{name}-{version}-{os}-{arch}.{ext}"' in page
    assert "pumice fetch example.com/hello:1.0" in page
    (entry,) = json.loads(Path("www/images.json").read_text())["images"]
    assert entry["file"] == "aci/example.com/hello-1.0-linux-amd64.aci"
    assert Path("www", entry["file"]).stat().st_size == entry["size"]
    assert Path("www", entry["file"] + ".asc").read_text().startswith("-----BEGIN PGP SIGNATURE-----")
    assert Path(f"www/keys/{entry['signers'][0]}.asc").is_file()


def test_publishing_again_changes_nothing(capsys: Out) -> None:
    def describe_files() -> dict[Path, tuple[int, int, int]]:
        """Return what writing changes; reading changes the time of access."""
        files = [path for path in Path("www").rglob("*") if path.is_file()]
        statuses = {path: path.stat() for path in files}
        return {path: (each.st_ino, each.st_mtime_ns, each.st_size) for path, each in statuses.items()}

    publish(capsys, IMAGE)
    before = describe_files()
    assert "published 0 images to www, 1 unchanged" in publish(capsys, IMAGE)[1]
    assert describe_files() == before


def test_a_published_version_changes_only_with_an_option_and_keeps_its_signatures(
    capsys: Out, folder: Path
) -> None:
    publish(capsys, IMAGE)
    file = Path("www/aci/example.com/hello-1.0-linux-amd64.aci")
    with file.open("rb") as open_download:
        with Home(folder / "store") as home:
            images.make(home, [{"etc/motd": "changed"}], name=IMAGE)
        assert "pass --replace" in publish(capsys, IMAGE, code=2)[1]
        content = file.read_bytes()
        publish(capsys, "--replace", IMAGE)
        assert open_download.read() == content
    assert file.read_bytes() != content
    from pumice.formats import openpgpsig

    signatures = list(openpgpsig.read_signatures(Path(f"{file}.asc").read_bytes()))
    assert len(signatures) == 2
    assert Path("www/aci/example.com/hello-latest-linux-amd64.aci").read_bytes() == file.read_bytes()


def test_a_file_that_is_replaced_has_a_later_second(capsys: Out, folder: Path) -> None:
    """Web servers make the ETag of the second and the size, and the two images have the same size."""
    publish(capsys, IMAGE)
    www = Path("www")
    files = [path for path in www.rglob("*") if path.is_file() and path.name != ".pumice-publish"]
    seconds = {path: int(path.stat().st_mtime) for path in files}
    contents = {path: path.read_bytes() for path in files}
    with Home(folder / "store") as home:
        images.make(home, [{"etc/motd": "jello"}], name=IMAGE)
        images.make(home, [{"etc/motd": "cello"}], name="example.com/hello:1.1")
    publish(capsys, "--replace", IMAGE)
    publish(capsys, "example.com/hello:1.1")
    changed = [path for path in files if path.read_bytes() != contents[path]]
    assert {path.suffix for path in changed} == {".aci", ".asc", ".html", ".json"}
    for path in changed:
        assert int(path.stat().st_mtime) > seconds[path], path


def test_both_names_of_an_image_have_the_same_torrent(capsys: Out, folder: Path) -> None:
    """Whoever downloads the newest version, and whoever asks for it by its number, are in one swarm."""
    with Home(folder / "store") as home:
        images.make(home, [{"data": handmade.random_bytes(1_200_000, "data").hex()}], name=IMAGE)
        images.make(home, [{"data": handmade.random_bytes(1_200_000, "next").hex()}], name=f"{IMAGE}.1")
    publish(capsys, "--torrent", IMAGE)
    publish(capsys, "--torrent", f"{IMAGE}.1")
    torrents = {path.name: path.read_bytes() for path in Path("www").rglob("*.torrent")}
    newest = torrents.pop("hello-latest-linux-amd64.aci.torrent")
    assert newest == torrents["hello-1.0.1-linux-amd64.aci.torrent"]
    assert len(torrents) == 2
    shared = torrent_files.find_torrents(Path("www"))
    assert {file.path.name + ".torrent" for file in shared} == set(torrents)


def test_a_torrent_does_not_outlive_the_content_that_it_is_for(capsys: Out, folder: Path) -> None:
    for name, options in (("data", ["--torrent"]), ("next", ["--replace"])):
        with Home(folder / "store") as home:
            images.make(home, [{"data": handmade.random_bytes(1_200_000, name).hex()}], name=IMAGE)
        publish(capsys, *options, IMAGE)
        assert bool(list(Path("www").rglob("*.torrent"))) == (name == "data")


def test_several_processes_publish_to_one_tree(folder: Path) -> None:
    """Each makes torrents while the others write their images."""
    names = [f"example.com/several:1.{number}" for number in range(4)]
    with Home(folder / "store") as home:
        for name in names:
            images.make(home, [{"data": handmade.random_bytes(1_200_000, name).hex()}], name=name)
    command = (sys.executable, "-m", "pumice", "publish", "--torrent", "--appc", "www")
    options = ("--url", "https://example.com", "--key", "release.key")
    processes = [
        subprocess.Popen([*command, *options, name], stderr=subprocess.PIPE, text=True) for name in names
    ]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    published = json.loads(Path("www/images.json").read_bytes())["images"]
    assert [image["version"] for image in published] == ["1.0", "1.1", "1.2", "1.3"]
    assert len(list(Path("www/aci").rglob("*.torrent"))) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--appc", "s3://bucket", "--url", "https://example.com", IMAGE), "is not a directory"),
        (("--appc", "www", "--key", "release.key", IMAGE), "--appc needs --url URL"),
        (("--appc", "www", "--url", "http://example.com", IMAGE), "is not a URL to publish at"),
        (("--appc", "www", "--url", "https://example.com/?a=b", IMAGE), "is not a URL to publish at"),
    ],
)
def test_mistakes_are_explained(capsys: Out, arguments: tuple[str, ...], message: str) -> None:
    assert message in run(capsys, "publish", *arguments, code=2)[1]
    assert not Path("www").exists()


def test_an_image_without_a_signature_is_refused(capsys: Out) -> None:
    _, err = run(capsys, "publish", "--appc", "www", "--url", "https://example.com", IMAGE, code=7)
    assert "the image is not signed" in err
    assert "pumice key generate --openpgp" in err


def test_a_name_without_a_host_is_refused(capsys: Out) -> None:
    run(capsys, "tag", IMAGE, "hello:1.0")
    assert "does not begin with a host" in publish(capsys, "hello:1.0", code=2)[1]


def test_a_file_is_published_with_its_signature_and_without_a_key(capsys: Out) -> None:
    run(capsys, "convert", IMAGE, "aci:hello.aci")
    run(capsys, "sign", "aci:hello.aci", "--key", "release.key")
    run(capsys, "publish", "--appc", "www", "--url", "https://example.com", "aci:hello.aci")
    published = Path("www/aci/example.com/hello-1.0-linux-amd64.aci")
    assert published.read_bytes() == Path("hello.aci").read_bytes()


def test_what_a_killed_process_left_is_removed(capsys: Out) -> None:
    leftover = Path("www/.pumice-image-abc")
    leftover.mkdir(parents=True)
    (leftover / "image.aci").write_bytes(b"incomplete")
    publish(capsys, IMAGE)
    assert not leftover.exists()


def test_a_web_server_can_read_everything_whatever_the_umask_is(capsys: Out) -> None:
    before = os.umask(0o077)
    try:
        publish(capsys, IMAGE)
    finally:
        os.umask(before)
    files = [path for path in Path("www").rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in Path("www").rglob("*") if path.is_dir()} == {0o755}


def write_version(folder: Path, version: str, motd: bytes = b"hello", name: str = "example.com/hello") -> str:
    path = folder / f"{version}.aci"
    write_image(path, name, version, motd)
    return f"aci:{path}"


def list_published() -> set[str]:
    return {path.relative_to("www").as_posix() for path in Path("www").rglob("*") if path.is_file()}


def test_an_untagged_version_is_removed_after_the_grace_period(capsys: Out, folder: Path) -> None:
    publish(capsys, write_version(folder, "1.0", b"first"), "--torrent")
    publish(capsys, write_version(folder, "1.1", b"second"))
    Path("www/aci/example.com/notes.txt").write_text("of somebody else")
    old = {f"aci/example.com/hello-1.0-linux-amd64.aci{suffix}" for suffix in ("", ".asc")}
    before = list_published()
    _, err = publish(capsys, "--untag", "example.com/hello:1.0", "--prune")
    assert "0 files" in err
    assert "1 in their grace period" in err
    assert list_published() - before == {".pumice-unpublished.json"}
    assert "1.0" not in Path("www/hello/index.html").read_text().replace("initial-scale=1", "")
    _, err = publish(capsys, "--prune", "--grace-period", "0")
    assert "2 files" in err
    assert before - list_published() == old


def test_an_image_without_versions_loses_its_page_and_its_newest_version(capsys: Out, folder: Path) -> None:
    publish(capsys, write_version(folder, "1.0"))
    publish(capsys, "--untag", "example.com/hello:1.0", "--prune", "--grace-period", "0")
    assert {path for path in list_published() if "hello" in path} == set()
    assert "index.html" in list_published()


@pytest.mark.parametrize("writes", range(6))
def test_whatever_is_untagged_when_a_process_is_killed_is_removed_later(
    capsys: Out, folder: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    publish(capsys, write_version(folder, "1.0"))
    untag = ("--untag", "example.com/hello:1.0")
    install, installed = tree_files.install_file, itertools.count()

    def install_some(scratch: Path, path: Path) -> None:
        if next(installed) == writes:
            raise KeyboardInterrupt
        install(scratch, path)

    with monkeypatch.context() as patch:
        patch.setattr(tree_files, "install_file", install_some)
        with suppress(KeyboardInterrupt):
            arguments = ["publish", "--appc", "www", "--url", "https://example.com/", "--key", "release.key"]
            main([*arguments, *untag])
    capsys.readouterr()
    if json.loads(Path("www/images.json").read_text())["images"]:
        publish(capsys, *untag)
    publish(capsys, "--prune", "--grace-period", "0")
    assert {path for path in list_published() if "hello" in path} == set()


def test_a_version_that_is_published_again_is_kept(capsys: Out, folder: Path) -> None:
    reference = write_version(folder, "1.0")
    publish(capsys, reference)
    before = list_published()
    publish(capsys, "--untag", "example.com/hello:1.0")
    publish(capsys, reference, "--prune", "--grace-period", "0")
    assert list_published() - {".pumice-unpublished.json"} == before


def test_notes_of_somebody_else_remove_nothing_outside(capsys: Out, folder: Path) -> None:
    publish(capsys, write_version(folder, "1.0"))
    Path("index.html").write_text("outside")
    Path("www/other").mkdir()
    Path("www/other/style.css").write_text("inside, but not published")
    notes = {"../index.html": 0, "other/style.css": 0, "/etc/hostname": 0, "aci/../../release.key": 0}
    Path("www/.pumice-unpublished.json").write_text(json.dumps(notes))
    publish(capsys, "--prune", "--grace-period", "0")
    assert Path("index.html").exists()
    assert Path("www/other/style.css").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--untag", "example.com/hello:9"), "example.com/hello:9 is not published"),
        (("--untag", "example.com/hello"), "has no version"),
        (("--name", "other:1", IMAGE), "--name is for --oci"),
        ((), "REF is missing"),
    ],
)
def test_mistakes_with_a_tree_are_explained(capsys: Out, arguments: tuple[str, ...], message: str) -> None:
    publish(capsys, IMAGE)
    assert message in publish(capsys, *arguments, code=2)[1]


def test_two_images_with_the_same_file_name_are_refused(capsys: Out, folder: Path) -> None:
    publish(capsys, write_version(folder, "1-2"))
    _, err = publish(capsys, write_version(folder, "2", name="example.com/hello-1"), code=2)
    assert "would have the same file as example.com/hello:1-2" in err
