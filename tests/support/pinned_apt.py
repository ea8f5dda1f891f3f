"""apt on synthetic archives with pins, as the reference for the archive of each package."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.support import archive
from tests.support.apt import Verdict, read_verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_CONFIG = """\
Dir::Etc "{root}/etc";
Dir::Etc::parts "/dev/null";
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Immediate-Configure "false";
APT::Sandbox::User "";
Acquire::Languages "none";
"""


class PinnedApt:
    """A private apt in ``root``; ``entries`` are its ``deb`` lines without the first word."""

    def __init__(self, root: Path, entries: Iterable[str], pins: Iterable[tuple[str, str, int]] = ()) -> None:
        """``pins`` are triples: names, the value of ``Pin:``, and the priority."""
        for folder in ("etc", "state/lists/partial", "cache/archives/partial"):
            (root / folder).mkdir(parents=True)
        (root / "status").write_bytes(b"")
        (root / "etc/keys.asc").write_bytes(archive.keyring())
        sources = [f"deb [arch=amd64 signed-by={root}/etc/keys.asc] {entry}\n" for entry in entries]
        (root / "etc/sources.list").write_text("".join(sources))
        (root / "etc/preferences").write_text(
            "\n".join(
                f"Package: {names}\nPin: {pin}\nPin-Priority: {priority}\n" for names, pin, priority in pins
            )
        )
        (root / "apt.conf").write_text(_CONFIG.format(root=root))
        self._environ = {**os.environ, "APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C.UTF-8"}
        process = self.run("apt-get", "update", "--error-on=any")
        assert process.returncode == 0, process.stdout + process.stderr

    def install(self, packages: Sequence[str]) -> Verdict:
        """Simulate the installation of ``packages`` on an empty root."""
        return read_verdict(self.run("apt-get", "-qq", "-s", "install", *packages))

    def run(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of apt."""
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=self._environ, cwd=cwd
        )
