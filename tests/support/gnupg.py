"""Real gpg, with a folder of its own and an agent that ends with the test."""

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
    """``gpg`` with its home; sockets have short names, so the home does not lie in pytest's folder."""

    def __init__(self) -> None:
        self.program = need("gpg")
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))

    def run(
        self, *arguments: str, data: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it; fails the test if it fails, unless told otherwise."""
        result = subprocess.run(
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
        assert not check or result.returncode == 0, result.stderr.decode()
        return result

    def generate(
        self, user: str, usage: str = "cert,sign", *, since: str = LONG_AGO, passphrase: str = ""
    ) -> str:
        """Make a key and return its fingerprint."""
        result = self.run(
            "--status-fd", "1", "--faked-system-time", LONG_AGO, "--passphrase", passphrase,
            "--quick-generate-key", user, "ed25519", usage, "never",
        )  # fmt: skip
        created = [line for line in _lines(result.stdout) if "KEY_CREATED" in line]
        return created[0].split()[3]

    def verify(self, signature: Path, file: Path) -> tuple[bool, set[str]]:
        """(whether ``gpg --verify`` is content, the fingerprints of the primary keys that are valid)."""
        result = self.run("--status-fd", "1", "--verify", str(signature), str(file), check=False)
        valid = {line.split()[-1].lower() for line in _lines(result.stdout) if " VALIDSIG " in line}
        return result.returncode == 0, valid

    def close(self) -> None:
        """End its agent and remove its home."""
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "all"], capture_output=True, check=False
        )
        shutil.rmtree(self.home, ignore_errors=True)


def running_gpg() -> Iterator[Gpg]:
    """Yield one: for a fixture."""
    gpg = Gpg()
    try:
        yield gpg
    finally:
        gpg.close()


def _lines(data: bytes) -> list[str]:
    """Notations in signatures may be any bytes."""
    return data.decode(errors="replace").splitlines()
