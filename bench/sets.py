"""The two sets of packages, with recipes and the commands of other tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SMALL = ("python3", "ca-certificates")
LARGE = (*SMALL, "nodejs", "git", "nginx", "postgresql-client", "openjdk-17-jre-headless")
SETS = {"small": SMALL, "large": LARGE}

EXTRA = ("less", "jq", "tree", "file", "nano", "bc", "lsof", "strace", "socat", "rsync", "gawk")
"""Small packages to add to an image, a new one for each run."""


@dataclass(frozen=True)
class Recipe:
    """A recipe file of the benchmark."""

    path: Path
    packages: tuple[str, ...]

    def write(self, *, mirror: str = "", key: str = "", everything: bool = False, app: str = "") -> Path:
        """Write the recipe, for the machine's own mirror or for ``mirror`` with the keyring ``key``."""
        origin = "{debian: bookworm}"
        if mirror:
            origin = f"{{debian: bookworm, mirrors: ['{mirror}'], suites: [bookworm], keyrings: ['{key}']}}"
        lines = [
            "name: example.com/bench",
            'version: "1"',
            f"from: {origin}",
            f"packages: [{', '.join(self.packages)}]",
            "archs: [amd64]",
        ]
        if everything:
            lines.append("include: [docs, man, info, locales, lintian]")
        if app:
            lines.append(f"files: [{{from: {app}, to: /app}}]")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(lines) + "\n")
        return self.path
