"""Chisel accepts and refuses the same releases, and cuts files with the same content."""

from __future__ import annotations

import functools
import os
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from pumice.cli.main import main
from pumice.formats.openpgp import read_keyring
from tests.support import slices
from tests.support.archive import KEYS, Deb, Item, Suite, hardlink, publish, symlink, text
from tests.support.peers import need
from tests.support.slice_tables import (
    CONFLICTS,
    WRONG_DEFINITIONS,
    WRONG_PATHS,
    WRONG_RELEASE_FILES,
    Slices,
    definition,
    write_slices,
)
from tests.support.slices import list_problems, release_file, write_release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.peer("chisel")

ARCHIVE = """\
archives:
  ubuntu: {version: '22.04', components: [main], suites: [jammy], public-keys: [test-key]}
"""
TOOL = Deb(
    "tool",
    "1:2.0-3-1",
    files=[
        Item("usr/bin/tool", b"tool", mode=0o755),
        hardlink("usr/bin/tool2", "usr/bin/tool"),
        symlink("usr/bin/link", "tool"),
        text("etc/tool.conf", "port = 1\n"),
        text("usr/share/tool/a.txt", "A"),
        text("usr/share/tool/deep/b.txt", "B"),
        text("usr/share/doc/tool/copyright", "free\n"),
    ],
)
OTHER = Deb("other", "7", files=[text("usr/lib/other/c", "C"), text("usr/bin/shared", "other")])
DEFINITIONS = {
    "tool": """\
package: tool
essential: [tool_copyright]
slices:
  bins:
    essential: [other_data]
    contents:
      /usr/bin/tool:
      /usr/bin/tool2:
      /usr/bin/link:
      /opt/tool: {copy: /usr/bin/tool}
      /etc/tool.conf: {mutable: true}
      /etc/made: {text: "made\\n", mode: 0600}
      /etc/made.link: {symlink: made}
      /var/tool/: {make: true, mode: 01777}
      /usr/share/tool/**.txt: {until: mutate}
      /usr/share/tool/names: {text: "", mutable: true}
      /var/lib/chisel/**: {generate: manifest}
      /usr/bin/arm: {text: arm, arch: arm64}
    mutate: |
      conf = content.read("/etc/tool.conf")
      content.write("/etc/tool.conf", conf.replace("1", "22"))
      content.write("/usr/share/tool/names", ",".join(content.list("/usr/share/tool/")))
  copyright:
    contents: {/usr/share/doc/tool/copyright: }
""",
    "other": "package: other\nslices: {data: {contents: {'/usr/lib/*er/?': }}}\n",
}


RSA_ARMOR = (KEYS / "rsa.asc").read_text().strip()
RSA_ID = read_keyring(RSA_ARMOR.encode()).certificates[0].fingerprint[-16:].upper()


def use_rsa_key(folder: Path) -> Path:
    """Replace the Ed25519 key of a release, which chisel cannot read."""
    path = folder / "chisel.yaml"
    old, new = (
        "\n".join(f"      {line}" for line in armor.splitlines()) for armor in (slices.ARMOR, RSA_ARMOR)
    )
    path.write_text(path.read_text().replace(old, new).replace(slices.KEY_ID, RSA_ID))
    return folder


def chisel(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need("chisel"), *arguments],
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


STRICTER = (
    r"'/a\tb' is not a path of a slice",
    "the pattern is longer than 512 characters",
    "'mode' must be an octal number",
    "'mode' is out of range",
)
"""What only Pumice refuses: characters and patterns of attacks, and modes that mean another one."""


def check_verdict(folder: Path, home: Path) -> None:
    """Compare the verdicts of Pumice and chisel about a release."""
    problems = list_problems(use_rsa_key(folder))
    result = chisel(home, "find", "--release", f"{folder}/", "nothing")
    message = result.stderr.strip().splitlines()[-1:]
    is_accepted = result.returncode == 0
    if problems and problems[0].endswith(STRICTER):
        assert is_accepted
        return
    assert is_accepted == (not problems), f"chisel: {message}; Pumice: {problems}"


@pytest.mark.parametrize(("slices", "conflict"), CONFLICTS)
def test_the_same_conflicts_are_found(tmp_path: Path, slices: Slices, conflict: str) -> None:
    del conflict
    check_verdict(write_slices(tmp_path / "release", slices), tmp_path)


@pytest.mark.parametrize(("contents", "problem"), WRONG_PATHS)
def test_the_same_paths_are_refused(tmp_path: Path, contents: str, problem: str) -> None:
    del problem
    check_verdict(write_release(tmp_path / "release", {"tool": definition(contents)}), tmp_path)


@pytest.mark.parametrize(("text", "problem"), WRONG_DEFINITIONS)
def test_the_same_definitions_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    del problem
    check_verdict(write_release(tmp_path / "release", {"tool": text}), tmp_path)


@pytest.mark.parametrize(("chisel_yaml", "problem"), WRONG_RELEASE_FILES)
def test_the_same_release_files_are_refused(tmp_path: Path, chisel_yaml: str, problem: str) -> None:
    del problem
    folder = write_release(tmp_path / "release", {})
    (folder / "chisel.yaml").write_text(chisel_yaml)
    check_verdict(folder, tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a proxy that answers every request with a file of an archive."""
    publish(
        tmp_path / "mirror",
        Suite("jammy", packages=[TOOL, OTHER], origin="Ubuntu", label="Ubuntu", signer="rsa"),
    )
    handler = functools.partial(_Proxy, directory=str(tmp_path / "mirror"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Proxy(SimpleHTTPRequestHandler):
    """Serves files for the URLs of an archive on any host."""

    def translate_path(self, path: str) -> str:
        return super().translate_path("/" + path.split("://", 1)[-1].partition("/ubuntu/")[2])

    def log_message(self, *_: Any) -> None:
        """Be silent."""


def contents(root: Path) -> dict[str, tuple[str, bytes]]:
    """Return the kind and content of each file, link and directory, except the manifest."""
    found: dict[str, tuple[str, bytes]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = "link", os.fsencode(path.readlink())
        elif path.is_dir():
            found[name] = "directory", b""
        elif path.name != "manifest.wall":
            found[name] = "file", path.read_bytes()
    return found


def read_manifest(root: Path) -> bytes:
    data = (root / "var/lib/chisel/manifest.wall").read_bytes()
    return bytes(zstandard.ZstdDecompressor().decompressobj().decompress(data))


def test_cut_has_the_content_and_the_manifest_of_chisel(
    tmp_path: Path, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_release(tmp_path / "release", DEFINITIONS, release_file(archives=ARCHIVE))
    use_rsa_key(folder)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    arguments = ("--release", f"{folder}/", "--arch", "amd64", "--ignore", "unmaintained")
    result = chisel(
        tmp_path / "home", "cut", *arguments, "--root", str(theirs), "tool_bins", http_proxy=archive
    )
    assert result.returncode == 0, result.stderr
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    mirror = ("--mirror", f"file:{tmp_path}/mirror")
    assert main(["cut", *arguments, "--root", str(ours), *mirror, "tool_bins"]) == 0
    # Chisel leaves the directories of files that are removed after the scripts.
    assert contents(theirs).pop("usr/share/tool/deep") == ("directory", b"")
    assert contents(ours) == {
        path: item for path, item in contents(theirs).items() if path != "usr/share/tool/deep"
    }
    assert read_manifest(ours) == read_manifest(theirs)
