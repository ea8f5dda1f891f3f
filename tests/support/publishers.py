"""A publisher of App Container images with a key and a web server, and a user who fetches them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pumice.cli.main import main
from pumice.trust.public_keys import read_public_key
from tests.support import aci
from tests.support.handmade import file, folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.handmade import Item
    from tests.support.websites import Website

Out = pytest.CaptureFixture[str]
NAME = "127.0.0.1/hello"


def enter_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with its own store, trust and credentials, and the passphrase of new keys."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PUMICE_HOME", str(folder / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(folder / "auth.json"))
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "secret")


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run a command, and return what it prints."""
    assert main([str(argument) for argument in arguments]) == code, capsys.readouterr()
    captured = capsys.readouterr()
    return captured.out, captured.err


def read_fingerprint(key: str) -> str:
    """Return the fingerprint of a key file."""
    return read_public_key(Path(key)).fingerprint


def write_image(
    path: Path,
    name: str,
    version: str,
    motd: bytes = b"hello",
    items: Sequence[Item] = (),
    **members: Any,
) -> str:
    """Write an image for linux/amd64 with a text or other files, and return its image ID."""
    labels = [
        {"name": "version", "value": version},
        {"name": "os", "value": "linux"},
        {"name": "arch", "value": "amd64"},
    ]
    items = items or [folder("etc"), file("etc/motd", motd)]
    return aci.image(path, items, name=name, labels=labels, **members)


class Publisher:
    """A publisher with a key, its tree, and a user with an empty store."""

    def __init__(self, site: Website, capsys: Out, folder: Path) -> None:
        self.site = site
        self.capsys = capsys
        self.folder = folder
        self.image_id = ""
        self.connection = ("--ca", str(site.ca), "--port", str(site.port))
        run(capsys, "key", "generate", "--openpgp", "Ada <ada@example.com>", "--output", "release")
        self.fingerprint = read_fingerprint("release.pub")

    def write(self, version: str = "1.0", *, name: str = NAME, motd: bytes = b"hello", **members: Any) -> str:
        """Return the file of a new image, as commands take it."""
        path = self.folder / f"{name.rpartition('/')[2]}-{version}-{len(motd)}.aci"
        self.image_id = write_image(path, name, version, motd, **members)
        return f"aci:{path}"

    def publish(self, *references: str, options: tuple[str, ...] = (), code: int = 0) -> tuple[str, str]:
        """Publish images, signed by the key."""
        tree = ("--appc", str(self.site.root), "--url", self.site.url, "--key", "release.key")
        return run(self.capsys, "publish", *tree, *options, *references, code=code)

    def write_page(self, *tags: str, path: str = "") -> None:
        """Write a page of the site with tags such as ``NAME=CONTENT``."""
        page = self.site.root / path / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        pairs = (tag.partition("=") for tag in tags)
        metas = "".join(f'<meta name="{name}" content="{content}">' for name, _, content in pairs)
        page.write_text(f"<head>{metas}</head>")

    def trust(self) -> None:
        """Trust the key, as a user who discovers it."""
        prefix = ("--prefix", "127.0.0.1", "--fingerprint", self.fingerprint)
        run(self.capsys, "trust", "add", *prefix, *self.connection)

    def fetch(self, name: str, *options: str, code: int = 0) -> tuple[str, str]:
        """Fetch an image."""
        return run(self.capsys, "fetch", name, *self.connection, *options, code=code)
