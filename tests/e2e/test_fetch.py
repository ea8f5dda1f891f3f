"""``pumice fetch``, from a real web server over TLS."""

from __future__ import annotations

import tarfile
from pathlib import Path
from urllib.parse import quote

import pytest

from pumice.discovery import stream_verification
from pumice.formats import openpgpsig
from pumice.store.home import Home
from tests.support import images
from tests.support.publishers import NAME, Publisher, read_fingerprint, run

Out = pytest.CaptureFixture[str]


def stored(folder: Path) -> set[str]:
    """Return the names in the store; without names it has no blobs either, and no incomplete ones."""
    with Home(folder / "store") as home:
        names = set(home.refs.names())
        assert names or not list(home.blobs.digests())
        leftovers = {path.suffix for path in home.directory("tmp").iterdir()}
        assert leftovers <= {".part", ".state"}  # what a broken download continues from
        return names


def test_a_published_image_is_discovered_fetched_and_run(publisher: Publisher, capsys: Out) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    out, err = publisher.fetch(f"{NAME}:1.0")
    assert out == f"{NAME}:1.0\n"
    assert "signed by a trusted key" in err
    assert "/etc/motd" in run(capsys, "files", f"{NAME}:1.0")[0]
    assert "signed by a trusted key" in run(capsys, "verify", f"{NAME}:1.0")[0]
    # The image has no programs, so the sandbox says so after the admission.
    assert "not signed" not in run(capsys, "run", f"{NAME}:1.0", "/nothing", code=127)[1]


def test_an_image_that_has_not_changed_is_not_downloaded_again(publisher: Publisher) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    publisher.fetch(f"{NAME}:1.0")
    _, err = publisher.fetch(f"{NAME}:1.0")
    assert "unchanged" in err
    path = "/aci/127.0.0.1/hello-1.0-linux-amd64.aci"
    assert [line for line in publisher.site.requests() if line.split()[1] == path] == [
        f"GET {path} 200",
        f"GET {path} 304",
    ]


def test_without_a_version_the_newest_is_fetched(publisher: Publisher) -> None:
    publisher.publish(publisher.write("1.9", motd=b"older"))
    publisher.publish(publisher.write("1.10", motd=b"newest"))
    publisher.trust()
    assert publisher.fetch(NAME)[0] == f"{NAME}:1.10\n"


def test_pull_new_asks_nobody_if_the_store_has_the_image(publisher: Publisher) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    assert "there is no 127.0.0.1/hello:1.0" in publisher.fetch(f"{NAME}:1.0", "--pull", "never", code=10)[1]
    publisher.fetch(f"{NAME}:1.0", "--pull", "new")
    before = publisher.site.requests()
    for policy in ("new", "never"):
        assert publisher.fetch(f"{NAME}:1.0", "--pull", policy)[0] == f"{NAME}:1.0\n"
    assert publisher.site.requests() == before


def test_nothing_is_downloaded_before_a_key_is_trusted(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(publisher.write())
    _, err = publisher.fetch(f"{NAME}:1.0", code=7)
    assert "no OpenPGP key is trusted for 127.0.0.1/hello:1.0" in err
    assert "pumice trust add --prefix 127.0.0.1" in err
    assert not any(".aci" in line for line in publisher.site.requests())
    assert stored(tmp_path) == set()


def test_an_image_by_another_key_is_refused_before_it_is_downloaded(
    publisher: Publisher, tmp_path: Path, capsys: Out
) -> None:
    publisher.publish(publisher.write())
    run(capsys, "key", "generate", "--openpgp", "Eve <eve@example.com>", "--output", "other")
    other = read_fingerprint("other.pub")
    run(capsys, "trust", "add", "--prefix", "127.0.0.1", "other.pub", "--fingerprint", other)
    _, err = publisher.fetch(f"{NAME}:1.0", code=7)
    assert "is not trusted for 127.0.0.1/hello:1.0" in err
    assert [line for line in publisher.site.requests() if ".aci " in line] == []
    assert stored(tmp_path) == set()


def test_a_changed_image_is_refused_and_nothing_is_stored(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    published = publisher.site.root / "aci/127.0.0.1/hello-1.0-linux-amd64.aci"
    other = Path(publisher.write(motd=b"another text").removeprefix("aci:"))
    published.write_bytes(other.read_bytes())
    _, err = publisher.fetch(f"{NAME}:1.0", code=7)
    assert "is not what" in err
    assert stored(tmp_path) == set()


@pytest.mark.parametrize(
    ("name", "message"),
    [("127.0.0.1/other", "the image is '127.0.0.1/hello', not '127.0.0.1/other'"), (NAME, "version='1.0'")],
)
def test_another_name_or_label_is_refused_and_nothing_is_stored(
    publisher: Publisher, tmp_path: Path, name: str, message: str
) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    folder = publisher.site.root / "aci/127.0.0.1"
    for suffix in ("aci", "aci.asc"):
        target = folder / f"{name.partition('/')[2]}-2.0-linux-amd64.{suffix}"
        target.write_bytes((folder / f"hello-1.0-linux-amd64.{suffix}").read_bytes())
    version = "1.0" if name != NAME else "2.0"
    if name != NAME:
        for suffix in ("aci", "aci.asc"):
            (folder / f"other-2.0-linux-amd64.{suffix}").rename(folder / f"other-1.0-linux-amd64.{suffix}")
    _, err = publisher.fetch(f"{name}:{version}", code=8)
    assert message in err
    assert stored(tmp_path) == set()


def test_a_download_with_a_cut_connection_resumes(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    from pumice import digest
    from pumice.digest import hex_of

    path = publisher.site.root / "aci/127.0.0.1/hello-1.0-linux-amd64.aci"
    url = f"{publisher.site.url}/aci/127.0.0.1/hello-1.0-linux-amd64.aci"
    scratch = tmp_path / "store" / "tmp"
    with Home(tmp_path / "store") as home:
        home.directory("tmp")
    name = f"fetch-{hex_of(digest.of(url.encode()))[:32]}"
    status = path.stat()
    etag = f'"{int(status.st_mtime):x}-{status.st_size:x}"'
    (scratch / f"{name}.part").write_bytes(path.read_bytes()[:100])
    (scratch / f"{name}.state").write_text(
        f'{{"url":"{url}","validator":{etag!r},"total":{status.st_size}}}'.replace("'", '"')
        .replace('""', '"\\"', 1)
        .replace('""', '\\""', 1)
    )
    publisher.fetch(f"{NAME}:1.0")
    assert any(line.endswith("206") for line in publisher.site.requests())


def test_a_name_without_pages_says_what_was_looked_at(publisher: Publisher) -> None:
    _, err = publisher.fetch("127.0.0.1/team/none:1.0", code=6)
    assert "no image can be discovered for 127.0.0.1/team/none" in err
    assert "/team: 404 Not Found" in err


@pytest.mark.parametrize("name", ["https://example.com/hello.aci", "hello.aci", "sha512-12"])
def test_what_is_not_a_name_is_explained(publisher: Publisher, name: str) -> None:
    assert "is not a name" in publisher.fetch(name, code=2)[1]


def test_a_transport_is_pulled_from(publisher: Publisher, tmp_path: Path, capsys: Out) -> None:
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}], name="example.com/hello:1.0")
    run(capsys, "copy", "example.com/hello:1.0", "oci:layout:1.0")
    run(capsys, "rm", "example.com/hello:1.0")
    publisher.fetch("oci:layout:1.0", "--allow-unsigned")
    assert stored(tmp_path) == {"example.com/hello:1.0"}


VERSIONS = ("1.0~b", "1.0_b", "1.0-b", "1.0+B", "1.0+b")
"""From the oldest on: none is admitted after a newer one."""


def test_versions_that_are_no_tags_are_distinct(publisher: Publisher, capsys: Out, tmp_path: Path) -> None:
    publisher.publish(*(publisher.write(version, motd=version.encode()) for version in VERSIONS))
    publisher.trust()
    for version in VERSIONS:
        name = f"{NAME}:{version}"
        assert publisher.fetch(name)[0] == f"{name}\n"
        assert "signed by a trusted key" in run(capsys, "verify", name)[0]
        run(capsys, "run", name, "/nothing", code=127)
    assert stored(tmp_path) == {f"{NAME}:{version}" for version in VERSIONS}
    for version in VERSIONS:
        assert publisher.fetch(f"{NAME}:{version}", "--pull", "never")[0] == f"{NAME}:{version}\n"
        run(capsys, "export", f"{NAME}:{version}", "-o", str(tmp_path / version))
        with tarfile.open(tmp_path / version) as archive:
            motd = archive.extractfile("etc/motd")
            assert motd is not None
            assert motd.read() == version.encode()
    run(capsys, "rm", f"{NAME}:1.0+b")
    assert stored(tmp_path) == {f"{NAME}:{version}" for version in VERSIONS[:-1]}


@pytest.mark.parametrize("version", ["1 0", ".1", "1:0", "1\u00e9", "-1", "1%2B0"])
def test_a_version_that_no_name_can_have_is_refused(
    publisher: Publisher, tmp_path: Path, version: str
) -> None:
    err = publisher.fetch(f"{NAME},version={quote(version)}", code=2)[1]
    assert "invalid repository name" in err if version == "1:0" else "is not an image name" in err
    assert stored(tmp_path) == set()


def test_an_image_with_such_a_version_is_not_stored(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(publisher.write("1 0"))
    publisher.trust()
    err = publisher.fetch(NAME, "--insecure-options=image", code=8)[1]
    assert "the image has the version '1 0'" in err
    with Home(tmp_path / "store") as home:
        assert (list(home.blobs.digests()), home.refs.names()) == ([], [])


def test_a_signature_is_verified_while_the_image_is_downloaded(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    monkeypatch.setattr(stream_verification, "MIN_SIZE", 1)
    with monkeypatch.context() as patch:
        patch.setattr(openpgpsig, "verify_file", None)  # it is not verified afterwards
        assert "signed by a trusted key" in publisher.fetch(f"{NAME}:1.0")[1]


def test_an_image_with_the_signature_of_another_is_refused_then_too(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_verification, "MIN_SIZE", 1)
    publisher.publish(publisher.write())
    publisher.trust()
    other = Path(publisher.write(motd=b"another text").removeprefix("aci:"))
    (publisher.site.root / "aci/127.0.0.1/hello-1.0-linux-amd64.aci").write_bytes(other.read_bytes())
    assert "is not what" in publisher.fetch(f"{NAME}:1.0", code=7)[1]
    assert stored(tmp_path) == set()
