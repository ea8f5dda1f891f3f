"""apt as a judge of solutions: its own copy of Debian's indexes, an empty root, nothing else.

Only indexes whose Release says ``Origin: Debian`` are taken, so other archives, preferences and
settings of the machine never leak in. On an empty root apt 2.6 leaves out Essential packages that
nobody needs (`tests/interop/test_apt.py` holds it to that), so both sides are compared without them.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

LISTS = Path("/var/lib/apt/lists")

_CONFIG = """\
Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "{root}";
Dir::State::lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Immediate-Configure "false";
Acquire::Languages "none";
"""


class Verdict(msgspec.Struct, frozen=True):
    """The packages that apt would install (``name=version``, sorted), or its error message."""

    packages: tuple[str, ...]
    refusal: str = ""


def read_verdict(process: subprocess.CompletedProcess[str]) -> Verdict:
    """Return the result of a simulated installation, ``apt-get -qq -s install``."""
    if process.returncode:
        return Verdict((), process.stdout + process.stderr)
    installations = re.findall(r"^Inst (\S+) \((\S+)", process.stdout, re.MULTILINE)
    return Verdict(tuple(sorted(f"{name.partition(':')[0]}={version}" for name, version in installations)))


class Apt:
    """One private apt, in a folder."""

    def __init__(self, root: Path, architecture: str = "amd64") -> None:
        self._config = root / "apt.conf"
        for folder in ("lists/partial", "cache/archives/partial"):
            (root / folder).mkdir(parents=True)
        (root / "status").write_bytes(b"")
        sources: list[str] = []
        for path in debian_indexes(architecture):
            # Not compressed, because apt looks records up at random.
            name = re.sub(r"_Packages\.\w+$", "_Packages", path.name)
            (root / "lists" / name).write_bytes(content(path))
            release = re.sub(r"(_dists_[^_]+)_.*", r"\1_InRelease", path.name)
            (root / "lists" / release).unlink(missing_ok=True)
            (root / "lists" / release).symlink_to(LISTS / release)
            sources.append(_source(path.name))
        (root / "sources.list").write_text("".join(sources))
        self._config.write_text(_CONFIG.format(root=root, architecture=architecture))
        self._run("apt-cache", "gencaches")

    def install(self, requests: Sequence[str]) -> Verdict:
        """Simulate the installation of ``requests`` (``name`` or ``name=version``) on an empty root."""
        return read_verdict(self._run("apt-get", "-qq", "-s", "install", *requests))

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "APT_CONFIG": str(self._config),
            "LC_ALL": "C",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def debian_indexes(architecture: str = "amd64") -> list[Path]:
    """Return the files of Debian's own indexes that apt has fetched on this machine."""
    indexes = []
    for path in sorted(LISTS.glob(f"*_dists_*_binary-{architecture}_Packages*")):
        release = LISTS / re.sub(r"(_dists_[^_]+)_.*", r"\1_InRelease", path.name)
        if release.exists() and re.search(rb"^Origin: Debian$", release.read_bytes(), re.MULTILINE):
            indexes.append(path)
    return indexes


def content(path: Path) -> bytes:
    """Return the content of an index file, with any compression that apt uses."""
    return subprocess.run(
        ["/usr/lib/apt/apt-helper", "cat-file", str(path)], check=True, capture_output=True
    ).stdout


def _source(name: str) -> str:
    address, _, remainder = name.partition("_dists_")
    suite, component, _ = remainder.split("_", 2)
    # lists are named without the scheme, so any will do: nothing is fetched
    return f"deb [trusted=yes] http://{address.replace('_', '/')} {suite} {component}\n"
