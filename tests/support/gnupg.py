"""gpg with a private home directory and agent."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_AGO = "20200101T000000!"


class Gpg:
    """``gpg`` with a home directory outside of pytest's, because paths of sockets must be short."""

    def __init__(self) -> None:
        self.program = need("gpg")
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))

    def run(
        self, *arguments: str, data: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run gpg; with ``check``, fail the test if gpg fails."""
        process = subprocess.run(
            [
                self.program,
                "--batch",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                *arguments,
            ],
            env={**os.environ, "GNUPGHOME": str(self.home), "LC_ALL": "C"},
            input=data,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert not check or process.returncode == 0, process.stderr.decode()
        return process

    def generate(
        self, user: str, usage: str = "cert,sign", *, since: str = LONG_AGO, passphrase: str = ""
    ) -> str:
        """Generate a key and return its fingerprint."""
        process = self.run(
            "--status-fd", "1", "--faked-system-time", LONG_AGO, "--passphrase", passphrase,
            "--quick-generate-key", user, "ed25519", usage, "never",
        )  # fmt: skip
        created = [line for line in _lines(process.stdout) if "KEY_CREATED" in line]
        return created[0].split()[3]

    def verify(self, signature: Path, file: Path) -> tuple[bool, set[str]]:
        """Return whether ``gpg --verify`` succeeds, and the fingerprints of the valid primary keys."""
        process = self.run("--status-fd", "1", "--verify", str(signature), str(file), check=False)
        valid = {line.split()[-1].lower() for line in _lines(process.stdout) if " VALIDSIG " in line}
        return process.returncode == 0, valid

    def close(self) -> None:
        """Stop the agent and remove the home directory."""
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "all"], capture_output=True, check=False
        )
        shutil.rmtree(self.home, ignore_errors=True)


def running_gpg() -> Iterator[Gpg]:
    """Yield a `Gpg` that is closed at the end."""
    gpg = Gpg()
    try:
        yield gpg
    finally:
        gpg.close()


def _lines(data: bytes) -> list[str]:
    """Return lines of gpg's output, in which notations of signatures may be any bytes."""
    return data.decode(errors="replace").splitlines()
