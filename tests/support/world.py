"""A small synthetic distribution: an archive, a recipe and a store, on which ``pumice`` runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import archive
from tests.support.archive import Suite
from tests.support.deb import Deb, folder, symlink, text

PASSWD = "root:*:0:0:root:/root:/bin/bash\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
GROUP = "root:*:0:\nshadow:*:42:\nnogroup:*:65534:\n"

BASE = (
    Deb(
        "base-files",
        "12",
        fields={"Essential": "yes"},
        files=[
            folder("bin"),
            folder("etc"),
            folder("lib"),
            folder("tmp", 0o1777),
            folder("var/tmp", 0o1777),
            text("usr/lib/os-release", 'ID=debian\nPRETTY_NAME="Synthetic"\n'),
            symlink("etc/os-release", "../usr/lib/os-release"),
        ],
    ),
    Deb(
        "base-passwd",
        "3",
        fields={"Essential": "yes"},
        files=[
            text("usr/share/base-passwd/passwd.master", PASSWD),
            text("usr/share/base-passwd/group.master", GROUP),
        ],
    ),
)
"""The packages that ``base: data`` needs."""

HELLO = Deb(
    "hello",
    "1.0-1",
    fields={"Depends": "libhello (>= 1)", "Multi-Arch": "foreign"},
    files=[
        text("bin/hello", "#!/bin/sh\necho hello\n", 0o755),
        text("etc/hello.conf", "greeting=hello\n"),
        text("usr/share/doc/hello/copyright", "Licence: MIT\n"),
        text("usr/share/doc/hello/README", "not in images\n"),
    ],
    conffiles=["/etc/hello.conf"],
)
LIBHELLO = Deb("libhello", "1.2-3", files=[text("usr/lib/hello/data", "data\n" * 1000)])
PACKAGES = (*BASE, HELLO, LIBHELLO)


class PumiceRun:
    """The output and exit code of ``pumice``."""

    def __init__(self, process: subprocess.CompletedProcess[bytes]) -> None:
        self.code = process.returncode
        self.stdout_bytes = process.stdout
        self.stdout = process.stdout.decode(errors="replace").strip()
        self.stderr = process.stderr.decode(errors="replace").strip()


class World:
    """An archive below ``root/mirror`` and a recipe in ``root/project``."""

    def __init__(self, root: Path, packages: Sequence[Deb] = PACKAGES) -> None:
        self.root = root
        self.mirror = root / "mirror"
        self.project = root / "project"
        self.project.mkdir(parents=True)
        self.publish(packages)
        (self.project / "key.asc").write_bytes(archive.keyring())
        self.write()

    def publish(self, packages: Sequence[Deb], **suite: Any) -> None:
        """Replace the packages of the archive."""
        archive.publish(self.mirror, Suite(packages=packages, **suite))

    def write(self, extra: str = "", packages: str = "[hello]", name: str = "recipe.yaml") -> Path:
        """Write the recipe with ``extra`` lines after the usual ones."""
        path = self.project / name
        path.write_text(
            "name: example.com/hello\n"
            'version: "1.0"\n'
            "from:\n"
            "  debian: bookworm\n"
            f"  mirrors: ['file://{self.mirror}']\n"
            "  suites: [bookworm]\n"
            "  keyrings: [key.asc]\n"
            "archs: [amd64]\n"
            f"packages: {packages}\n{extra}"
        )
        return path

    def run(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        umask: int = 0o022,
        store: str = "store",
    ) -> PumiceRun:
        """Run ``pumice`` in a separate process."""
        return PumiceRun(
            subprocess.run(
                [sys.executable, "-m", "pumice", *arguments],
                cwd=cwd or self.project,
                env={**os.environ, "PUMICE_HOME": str(self.root / store), **(environment or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=300,
                umask=umask,
            )
        )

    def build(self, *arguments: str, **options: Any) -> str:
        """Build the recipe and return the digest; fails the test if that fails."""
        pumice_run = self.run("build", "recipe.yaml", *arguments, **options)
        assert pumice_run.code == 0, pumice_run.stderr
        return pumice_run.stdout

    def blobs(self, layout: Path) -> dict[str, Any]:
        """Return the manifest of the image in a layout folder (JSON), with its config as ``_config``."""
        index = json.loads((layout / "index.json").read_bytes())
        (descriptor,) = index["manifests"]
        manifest: dict[str, Any] = json.loads(blob(layout, descriptor["digest"]))
        if "config" in manifest:
            manifest["_config"] = json.loads(blob(layout, manifest["config"]["digest"]))
        return manifest


def blob(layout: Path, digest: str) -> bytes:
    """Return a blob of a layout folder."""
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()
