"""``pumice pull`` of images with torrents, where these do not help: everything comes from the server."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from pumice.cli.main import main
from pumice.image.transports.gathered_image import GatheredImage
from pumice.progress import Silent
from pumice.publish import nginx as nginx_configuration
from pumice.publish import oci_tree
from pumice.publish.directory_tree import open_directory
from pumice.publish.oci_tree import PublishedImage
from pumice.swarm import artifact
from tests.support import handmade, nginx, published
from tests.support.handmade import ImageContents, file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.formats.oci import Descriptor
    from pumice.image.graph import CosignTags
    from pumice.registry.listing import Referrer
    from tests.support.nginx import Server

SIZE = 6_000_000

pytestmark = pytest.mark.peer("nginx")
Out = pytest.CaptureFixture[str]


class OtherContent:
    """A source whose blobs have the right sizes and wrong content, to make torrents of."""

    def document(self, descriptor: Descriptor) -> bytes:
        raise AssertionError

    def open(self, descriptor: Descriptor) -> BinaryIO:
        return io.BytesIO(bytes(descriptor.size))

    def referrers(self, digest: str) -> Sequence[Referrer]:
        raise AssertionError

    def cosign_tags(self, digests: Sequence[str]) -> CosignTags:
        raise AssertionError


@contextmanager
def serving(folder: Path, *, is_hostile: bool = False, directives: str = "") -> Iterator[Server]:
    """Serve an image with torrents as ``app:1.0``."""
    content = handmade.random_bytes(SIZE, "shared")
    gathered = published.gather(handmade.image(ImageContents([[file("data", content)]])))
    source = OtherContent() if is_hostile else gathered.source
    shared = artifact.add_torrents(
        GatheredImage(gathered.graph, source), "https://a.example/v2/app", [], with_v1=True, progress=Silent()
    )
    if is_hostile:
        torrents = shared.source

        class Mixed(OtherContent):
            def open(self, descriptor: Descriptor) -> BinaryIO:
                is_own = descriptor.digest in gathered.graph.blobs()
                return gathered.source.open(descriptor) if is_own else torrents.open(descriptor)

        shared = GatheredImage(shared.graph, Mixed())
    with open_directory(folder / "tree") as tree:
        oci_tree.publish_images([PublishedImage(shared, "app", "1.0")], tree, Silent())
        configuration = nginx_configuration.make_configuration(str(tree.root))
    with nginx.serving(folder / "server", configuration + directives) as server:
        yield server


def pull(server: Server, capsys: Out) -> str:
    capsys.readouterr()
    assert main(["pull", "--allow-unsigned", f"--ca={server.ca}", f"docker://{server.host}/app:1.0"]) == 0
    return capsys.readouterr().err


def test_a_torrent_of_other_content_is_not_used(tmp_path: Path, capsys: Out) -> None:
    with serving(tmp_path, is_hostile=True) as server:
        assert "other content" in pull(server, capsys)


def test_a_server_without_ranges_sends_the_whole_blob(tmp_path: Path, capsys: Out) -> None:
    with serving(tmp_path, directives="max_ranges 0;") as server:
        assert "does not send parts of blobs" in pull(server, capsys)


def test_without_the_extra_a_note_says_how_to_install_it(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "libtorrent", None)
    with serving(tmp_path) as server:
        assert "pumice[p2p]" in pull(server, capsys)
        assert not any(" 206 " in line for line in server.requests())


def test_an_image_with_torrents_is_downloaded_once(tmp_path: Path, capsys: Out) -> None:
    with serving(tmp_path) as server:
        pull(server, capsys)
        assert SIZE <= server.sent_size() < SIZE * 1.3


def test_publishing_torrents_again_replaces_them(tmp_path: Path) -> None:
    content = handmade.random_bytes(SIZE, "shared")
    gathered = published.gather(handmade.image(ImageContents([[file("data", content)]])))
    with open_directory(tmp_path / "tree") as tree:
        for tracker in ("http://a.example/announce", "http://b.example/announce"):
            shared = artifact.add_torrents(
                gathered, "https://a.example/v2/app", [tracker], with_v1=True, progress=Silent()
            )
            oci_tree.publish_images([PublishedImage(shared, "app", "1.0")], tree, Silent())
        listed = tree.read(f"v2/app/referrers/{gathered.graph.root.digest}") or b""
        assert listed.count(b'"digest"') == 1
