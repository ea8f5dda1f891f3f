"""Run Pumice as root, as an ordinary user with subordinate ids, or as one without."""

from __future__ import annotations

import compileall
import functools
import itertools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import _cffi_backend
import cryptography
import deflate
import msgspec
import pytest
import urllib3

import pumice
from pumice.store.home import Home
from tests.support.peers import absent

WHO = ("root", "ordinary", "stranger")
"""``ordinary`` is in ``/etc/subuid``; ``stranger`` is neither there nor in ``/etc/passwd``."""

_ORDINARY = "pumice-test"
_STRANGER = 64242


class Person:
    """A user with a home directory for the store, who can run commands."""

    def __init__(self, name: str, home: Path, prefix: Sequence[str], python: str, path: str) -> None:
        self.name = name
        self.home = home
        self.prefix = prefix
        self.python = python
        self.python_path = path

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of ``pumice`` with ``arguments``."""
        self._require_own_network(("--network", "private") in itertools.pairwise(arguments))
        return [*self.prefix, self.python, "-m", "pumice", *arguments]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return a small environment for a command."""
        self._require_own_network((extra or {}).get("PUMICE_NETWORK") == "private")
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "PUMICE_HOME": str(self.home / "store"),
            "PYTHONPATH": self.python_path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PUMICE_NETWORK": "host",
            **(extra or {}),
        }

    def _require_own_network(self, is_private: bool) -> None:
        """Keep bridges, and the ports that images expose, away from this machine, which other tests share."""
        assert not is_private or "--net" in self.prefix, "a private network needs `networks.machine`"

    def pumice(
        self, *arguments: str, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run ``pumice`` and return its result."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(env),
            cwd=self.home,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
            **options,
        )

    @contextmanager
    def running_pumice(
        self, *arguments: str, stdin: int | IO[Any] | None = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[str]]:
        """Yield a running ``pumice``, which is killed when the context ends."""
        running = subprocess.Popen(
            self.command(*arguments),
            env=self.environment(),
            cwd=self.home,
            text=True,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with running:
            try:
                yield running
            finally:
                running.kill()

    @contextmanager
    def store(self) -> Iterator[Home]:
        """Open this person's store as the user who runs the tests, who must own it."""
        path = self.home / "store"
        if self.prefix and path.exists():
            subprocess.run(["chown", "-R", f"{os.geteuid()}:{os.getegid()}", str(path)], check=True)
        with Home(path) as home:
            yield home
        self.give(self.home)

    def list_mounts(self) -> list[str]:
        """Return the mounts in this person's home; other tests mount something elsewhere at the same time."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if str(self.home) in line]

    def give(self, path: Path) -> None:
        """Make this person the owner of a path and of everything below it."""
        if self.prefix:
            uid = _uid(self.name)
            subprocess.run(["chown", "-R", f"{uid}:{uid}", str(path)], check=True)


@contextmanager
def person(name: str) -> Iterator[Person]:
    """Yield a person of `WHO`; skip if the test cannot become that person."""
    is_root = os.geteuid() == 0
    if name == "root" and not is_root:
        absent("the test does not run as root")
    if name == "stranger" and not is_root:
        pytest.skip("an ordinary user can only be one person")
    # mkdtemp(3) also uses underscores, and next to a hyphen podman refuses them in the name of an image.
    folder = Path(tempfile.gettempdir(), f"pumice-test-{uuid.uuid4().hex[:12]}")
    folder.mkdir()
    try:
        folder.chmod(0o755)
        person_ = _make(name, folder, become=is_root and name != "root")
        person_.give(folder)
        yield person_
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=False)


def _make(name: str, folder: Path, *, become: bool) -> Person:
    sources = str(Path(pumice.__file__).parents[1])
    if not become:
        return Person(name, folder, (), sys.executable, sources)
    uid = _uid(name)
    # setpriv itself still has the privileges of root; the program that env starts does not.
    prefix = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", "env")
    return Person(name, folder, prefix, _interpreter(prefix), _readable_code().name)


@functools.cache
def _readable_code() -> tempfile.TemporaryDirectory[str]:
    """Return a copy of the sources and of what they need, which is removed when the tests end.

    The sources and the interpreter of the tests may be in a directory that only root can read. The copy is
    compiled, so that not every command compiles what it imports.
    """
    directory = tempfile.TemporaryDirectory(prefix="pumice-test-code-")
    code = Path(directory.name)
    code.chmod(0o755)
    sources = Path(pumice.__file__).parent
    compileall.compile_dir(sources, quiet=2)
    shutil.copytree(sources, code / "pumice", ignore=shutil.ignore_patterns("*.group"))
    for module in (msgspec, deflate, cryptography, urllib3):
        shutil.copytree(Path(str(module.__file__)).parent, code / module.__name__)
    shutil.copy(str(_cffi_backend.__file__), code)
    return directory


def _interpreter(prefix: Sequence[str]) -> str:
    """Return a Python of this version that the person can execute."""
    version = "python{}.{}".format(*sys.version_info)
    for path in (os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        process = subprocess.run([*prefix, path, "-I", "-c", ""], capture_output=True, check=False)
        if process.returncode == 0:
            return path
    absent(f"an ordinary user has no {version} here")
    raise AssertionError


def _uid(name: str) -> int:
    if name == "stranger":
        return _STRANGER
    try:
        return pwd.getpwnam(_ORDINARY).pw_uid
    except KeyError:
        process = subprocess.run(["useradd", "--no-create-home", _ORDINARY], capture_output=True, check=False)
        if process.returncode:
            absent(f"the user {_ORDINARY} cannot be made")
        return pwd.getpwnam(_ORDINARY).pw_uid
