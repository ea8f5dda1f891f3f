"""The commit, remote and state of the git repository of a recipe, as the standard OCI annotations.

git is run as a program on a repository that may be hostile: its configuration could name programs (hooks,
file system monitors, filters, transports), so all of these are switched off.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pumice.errors import PumiceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REVISION = "org.opencontainers.image.revision"
SOURCE = "org.opencontainers.image.source"

_TIMEOUT = 60
_MAX_URL = 2048
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_SCP_LIKE = re.compile(r"(?:[^@/:\s]+@)?(?P<host>[A-Za-z0-9.-]+):(?![/:])(?P<path>[^\s]+)")
_FILTER = re.compile(r"filter\..+\.(?:clean|smudge|process|required)", re.DOTALL | re.IGNORECASE)
_KEPT_VARIABLES = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_SETTINGS = (
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.sshCommand", "false"),
    ("core.untrackedCache", "false"),
    ("protocol.allow", "never"),
    ("safe.bareRepository", "explicit"),
)


def read_git_annotations(directory: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `REVISION` and, if there is a remote with a URL to publish, `SOURCE`.

    The revision ends with ``-dirty`` if a tracked file of the repository was changed, as in
    ``git describe --dirty``. Raises UsageError outside a repository with a commit, PumiceError if git fails.
    """
    git = _Git(directory, environ)
    commit = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", allow_failure=True).strip()
    if not _COMMIT.fullmatch(commit):
        raise UsageError(
            f"cannot read git annotations: '{directory}' is not in a git repository with a commit",
            hint="commit the recipe, or leave out --git-annotations",
        )
    git.switch_off_filters()
    is_dirty = bool(git.run("status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=all"))
    annotations = {REVISION: f"{commit}-dirty" if is_dirty else commit}
    source = public_url(git.remote_url())
    return annotations | ({SOURCE: source} if source else {})


def public_url(url: str) -> str:
    """Return the URL of a remote without user, password, query and fragment.

    Empty if it is not the URL of a server: a path of this machine says nothing elsewhere.
    """
    if len(url) > _MAX_URL or not url.isprintable() or not url.isascii():
        return ""
    if "://" not in url:
        match = _SCP_LIKE.fullmatch(url)
        return f"ssh://{match['host']}/{match['path']}" if match else ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("https", "http", "ssh", "git") or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


class _Git:
    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._settings = list(_SETTINGS)
        self._environ = {
            name: value
            for name, value in environ.items()
            if not name.startswith("GIT_") or name in _KEPT_VARIABLES
        } | {
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }

    def switch_off_filters(self) -> None:
        """Override the filters of the repository's own configuration, which `status` could run."""
        words = self.run("config", "--list", "--show-scope", "--name-only", "-z").split("\0")
        for scope, name in zip(words[::2], words[1::2], strict=False):
            if scope not in ("system", "global", "command") and _FILTER.fullmatch(name):
                self._settings.append((name, "false" if name.lower().endswith(".required") else ""))

    def remote_url(self) -> str:
        """Return the URL of the remote ``origin``, or of the only remote; else ""."""
        text = self.run("config", "-z", "--get-regexp", r"^remote\..+\.url$", allow_failure=True)
        urls: dict[str, str] = {}
        for item in text.split("\0"):
            name, _, url = item.partition("\n")
            if url:
                urls.setdefault(name, url)
        return urls.get("remote.origin.url") or (next(iter(urls.values())) if len(urls) == 1 else "")

    def run(self, *arguments: str, allow_failure: bool = False) -> str:
        """Return the output of git; with ``allow_failure`` it is empty if git fails."""
        import subprocess

        settings = {"GIT_CONFIG_COUNT": str(len(self._settings))}
        for number, (name, value) in enumerate(self._settings):
            settings |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        try:
            result = subprocess.run(
                ["git", "-C", str(self._directory), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self._environ | settings,
                timeout=_TIMEOUT,
                check=False,
            )
        except FileNotFoundError:
            raise PumiceError(
                "cannot run git: it is not installed", hint="install git, or leave out --git-annotations"
            ) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PumiceError(f"cannot run git: {error}") from None
        if result.returncode:
            if allow_failure:
                return ""
            reason = " ".join(result.stderr.decode(errors="replace").split())[:200]
            raise PumiceError(f"git {arguments[0]} failed: {reason}", where=str(self._directory))
        return result.stdout.decode(errors="replace")
