"""Signed archives in Debian's format, in a folder, of synthetic packages.

    archive.publish(tmp_path / "mirror", Suite("bookworm", packages=[Deb("hello")]))

writes ``pool/``, ``dists/bookworm/{InRelease,Release,Release.gpg}`` and the indexes with their
by-hash copies. Packages are equal bytes for equal descriptions; signatures are not.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import lzma
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.support.deb import EPOCH, Deb, Item, folder, hardlink, paragraph, symlink, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pysequoia import PySigner

__all__ = [
    "EPOCH", "KEYS", "Deb", "Item", "Suite", "detached", "folder", "hardlink", "keyring", "publish", "sign",
    "symlink", "text",
]  # fmt: skip

KEYS = Path(__file__).parent / "keys"

Signing = Literal["inline", "detached", "both", "none"]
_HASHES = {"MD5Sum": "md5", "SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512"}
_DEB_HASHES = {"MD5sum": "md5", "SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512"}


@dataclass(frozen=True)
class Suite:
    """One ``dists/NAME``.

    ``codename`` defaults to ``name``, ``suite`` ("stable") to ``name``. Times are seconds since the
    epoch; ``valid_until`` None leaves the field out.
    """

    name: str = "bookworm"
    packages: Sequence[Deb] | Mapping[str, Sequence[Deb]] = ()
    """The packages of ``main``, or the packages by component."""
    codename: str = ""
    suite: str = ""
    origin: str = "Debian"
    label: str = "Debian"
    date: int = EPOCH
    valid_until: int | None = None
    by_hash: bool = True
    architectures: Sequence[str] = ("amd64", "arm64")
    hashes: Sequence[str] = ("SHA256",)
    """Names of MD5Sum, SHA1, SHA256, SHA512: the digests in Release and, except MD5Sum, in Packages."""
    compressions: Sequence[str] = ("", ".gz", ".xz")
    signing: Signing = "both"
    signer: str = "good"
    fields: tuple[tuple[str, str], ...] = ()
    """Additional fields of Release; an empty value removes a field."""

    def components(self) -> dict[str, Sequence[Deb]]:
        return dict(self.packages) if isinstance(self.packages, Mapping) else {"main": self.packages}


def keyring(*names: str) -> bytes:
    """Return the public keys called ``names`` (default: good), ASCII-armored and concatenated."""
    return b"\n".join((KEYS / f"{name}.asc").read_bytes() for name in names or ("good",))


def sign(content: bytes, signer: str = "good") -> bytes:
    """Return ``content`` clear-signed, as in InRelease."""
    import pysequoia

    return bytes(pysequoia.sign(_signer(signer), content, mode=pysequoia.SignatureMode.CLEAR))


def detached(content: bytes, signer: str = "good") -> bytes:
    """Return an armored signature of ``content``, as in Release.gpg."""
    import pysequoia

    return bytes(pysequoia.sign(_signer(signer), content, mode=pysequoia.SignatureMode.DETACHED))


def publish(root: Path, *suites: Suite) -> Path:
    """Write or replace ``suites`` and their packages below ``root``; return ``root``."""
    for suite in suites:
        _publish(root, suite)
    return root


def publish_flat(
    root: Path,
    folder: str,
    *debs: Deb,
    signing: Literal["inline", "detached", "none", "no release"] = "inline",
) -> Path:
    """Write an archive without ``dists``: packages and index in ``root/folder``; return ``root``."""
    directory = root / folder
    for name in ("InRelease", "Release", "Release.gpg"):
        (directory / name).unlink(missing_ok=True)
    built = [(deb, deb.build()) for deb in debs]
    index = "\n".join(_flat_stanza(deb, data, folder) for deb, data in built).encode()
    files = {"Packages": index, "Packages.gz": _compressed(index, ".gz")}
    for deb, data in built:
        _write(directory / deb.filename, data)
    for name, data in files.items():
        _write(directory / name, data)
    hashes = "".join(
        f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n" for name, data in files.items()
    )
    release = f"Origin: Flat\nDate: {release_date(EPOCH)}\nSHA256:\n{hashes}".encode()
    if signing == "inline":
        _write(directory / "InRelease", sign(release))
    if signing in ("detached", "none"):
        _write(directory / "Release", release)
    if signing == "detached":
        _write(directory / "Release.gpg", detached(release))
    return root


def _flat_stanza(deb: Deb, data: bytes, folder: str) -> str:
    digest = hashlib.sha256(data).hexdigest()
    path = f"./{folder}{deb.filename}"
    return paragraph({**deb.paragraph(), "Filename": path, "Size": str(len(data)), "SHA256": digest})


def release_date(seconds: int) -> str:
    """Return a time in the format of Release files, in any locale."""
    return formatdate(seconds, usegmt=True).replace("GMT", "UTC")


def _publish(root: Path, suite: Suite) -> None:
    dist = root / "dists" / suite.name
    indexes: dict[str, bytes] = {}
    for component, debs in suite.components().items():
        built = [(deb, deb.build()) for deb in debs]
        for deb, data in built:
            _write(root / deb.pool_path(component), data)
        for architecture in suite.architectures:
            index = "\n".join(
                _stanza(deb, data, component, suite)
                for deb, data in built
                if deb.architecture in {architecture, "all"}
            ).encode()
            for extension in suite.compressions:
                path = f"{component}/binary-{architecture}/Packages{extension}"
                indexes[path] = _compressed(index, extension)
            indexes.setdefault(f"{component}/binary-{architecture}/Packages", index)
    for path, data in indexes.items():
        if path.endswith("Packages") and "" not in suite.compressions:
            continue
        _write(dist / path, data)
        if suite.by_hash:
            for algorithm in suite.hashes:
                folder_name = f"by-hash/{algorithm}/{hashlib.new(_HASHES[algorithm], data).hexdigest()}"
                _write(dist / path.rsplit("/", 1)[0] / folder_name, data)
    _write_release(dist, suite, _release(suite, indexes))


def _write_release(dist: Path, suite: Suite, release: bytes) -> None:
    for name in ("InRelease", "Release", "Release.gpg"):
        (dist / name).unlink(missing_ok=True)
    if suite.signing in {"inline", "both"}:
        _write(dist / "InRelease", sign(release, suite.signer))
    if suite.signing in {"detached", "both", "none"}:
        _write(dist / "Release", release)
    if suite.signing in {"detached", "both"}:
        _write(dist / "Release.gpg", detached(release, suite.signer))


def _stanza(deb: Deb, data: bytes, component: str, suite: Suite) -> str:
    fields = deb.paragraph()
    description = fields.pop("Description", "")
    fields["Filename"] = deb.pool_path(component)
    fields["Size"] = str(len(data))
    for field, algorithm in _DEB_HASHES.items():
        if field in suite.hashes:
            fields[field] = hashlib.new(algorithm, data).hexdigest()
    return paragraph({**fields, "Description": description} if description else fields)


def _release(suite: Suite, lines: Mapping[str, bytes]) -> bytes:
    fields = {
        "Origin": suite.origin,
        "Label": suite.label,
        "Suite": suite.suite or suite.name,
        "Codename": suite.codename or suite.name,
        "Date": release_date(suite.date),
        "Valid-Until": "" if suite.valid_until is None else release_date(suite.valid_until),
        "Acquire-By-Hash": "yes" if suite.by_hash else "",
        "Architectures": " ".join(suite.architectures),
        "Components": " ".join(suite.components()),
    }
    fields.update(dict(suite.fields))
    sums: dict[str, str] = defaultdict(str)
    for algorithm in suite.hashes:
        for path, data in lines.items():
            sums[algorithm] += f"\n {hashlib.new(_HASHES[algorithm], data).hexdigest()} {len(data):16} {path}"
    return paragraph({**{key: value for key, value in fields.items() if value}, **sums}).encode()


@functools.lru_cache(maxsize=128)  # most tests have the same packages
def _compressed(data: bytes, extension: str) -> bytes:
    if extension == ".gz":
        return gzip.compress(data, 9, mtime=0)
    return lzma.compress(data) if extension == ".xz" else data


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _signer(name: str) -> PySigner:
    import pysequoia

    return pysequoia.Tsk.from_file(str(KEYS / f"{name}.secret.asc")).signer()
