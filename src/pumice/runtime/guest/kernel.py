"""The kernel of the virtual machine: Debian's cloud kernel, its modules, and its uncompressed image."""

from __future__ import annotations

import hashlib
import lzma
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.errors import SandboxError
from pumice.ownership import make_directories
from pumice.runtime.guest import lz4

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

VARIABLE = "PUMICE_KERNEL"
_MAX_KERNEL, _MAX_UNPACKED, _MAX_MODULE = 64 << 20, 256 << 20, 16 << 20
_ELF, _ZSTD = b"\x7fELF", b"\x28\xb5\x2f\xfd"


class Kernel(msgspec.Struct, frozen=True):
    """A kernel and the directory of its modules."""

    image: Path
    modules: Path


def find_kernel(environ: Mapping[str, str]) -> Kernel:
    """Return the newest cloud kernel, or another one, below ``PUMICE_KERNEL`` or of this machine.

    Raises SandboxError if there is none.
    """
    named = environ.get(VARIABLE)
    for root in (Path(named),) if named else (Path("/"),):
        images = sorted(root.glob("boot/vmlinuz-*"), key=_preference, reverse=True)
        for image in images:
            version = image.name.removeprefix("vmlinuz-")
            for folder in ("lib/modules", "usr/lib/modules"):
                if (root / folder / version / "kernel").is_dir():
                    return Kernel(image, root / folder / version / "kernel")
    place = f"below {named}" if named else "on this machine"
    raise SandboxError(
        f"there is no kernel for the virtual machine {place}",
        hint="install linux-image-cloud-amd64, or unpack it to a directory and set PUMICE_KERNEL to that",
    )


def _preference(image: Path) -> tuple[bool, list[tuple[int, str]]]:
    words = image.name.replace("-", ".").split(".")
    return "cloud" in image.name, [(int(word), "") if word.isdigit() else (0, word) for word in words]


def unpack_kernel(kernel: Kernel, cache: Path) -> Path:
    """Return the uncompressed kernel, which starts in half of the time; it is kept in ``cache``."""
    with kernel.image.open("rb") as file:
        data = file.read(_MAX_KERNEL)
    path = cache / f"vmlinux-{hashlib.sha256(data).hexdigest()}"
    if not path.exists():
        unpacked = _decompress(_find_payload(data, kernel.image), kernel.image)
        make_directories(cache)
        files.replace(path, unpacked)
    return path


def _find_payload(data: bytes, path: Path) -> bytes:
    """Return the compressed kernel in a bzImage (Linux, arch/x86/boot.rst, payload_offset)."""
    if data[:4] == _ELF:
        return data
    if data[0x202:0x206] != b"HdrS":
        raise SandboxError(f"{path} is not a kernel for x86-64")
    sectors = data[0x1F1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (sectors + 1) * 512 + offset
    return data[start : start + length]


def _decompress(payload: bytes, path: Path) -> bytes:
    try:
        if payload[:4] == lz4.MAGIC:
            payload = lz4.decompress(payload, _MAX_UNPACKED)
        elif payload[:4] == _ZSTD:
            import zstandard

            payload = zstandard.ZstdDecompressor().decompressobj().decompress(payload)
        elif payload[:6] == b"\xfd7zXZ\0":
            payload = lzma.LZMADecompressor(memlimit=1 << 30).decompress(payload, _MAX_UNPACKED)
    except (ValueError, lzma.LZMAError) as error:
        raise SandboxError(f"the kernel {path} cannot be unpacked: {error}") from None
    if payload[:4] != _ELF:
        raise SandboxError(f"the kernel {path} is compressed in a way that Pumice does not know")
    return payload


def read_modules(kernel: Kernel, names: Sequence[str]) -> list[bytes]:
    """Return modules with those that they depend on, in the order in which they are loaded.

    What is built into the kernel has no file and is omitted.
    """
    paths = {path.name.partition(".")[0].replace("-", "_"): path for path in kernel.modules.rglob("*.ko*")}
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in loaded or name not in paths:
            return
        data = _read_module(paths[name])
        for dependency in _dependencies(data):
            load(dependency)
        loaded[name] = data

    for name in names:
        load(name)
    return list(loaded.values())


def _read_module(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_MODULE)
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _dependencies(module: bytes) -> Iterator[str]:
    """Yield the modules that ``depends=`` in the section .modinfo names."""
    start = module.find(b"\0depends=")
    text = module[start + 9 : module.find(b"\0", start + 9)].decode() if start >= 0 else ""
    yield from (name.replace("-", "_") for name in text.split(",") if name)
