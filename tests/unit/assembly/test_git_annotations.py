"""Annotations from git: what they say, and that a hostile repository runs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pumice.assembly.git_annotations import REVISION, SOURCE, public_url, read_git_annotations
from pumice.errors import PumiceError, UsageError

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")

ENVIRON = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-C", str(directory), *arguments]
    result = subprocess.run(command, env=ENVIRON, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    directory.mkdir()
    git(directory, "init", "-q")
    (directory / "recipe.yaml").write_text("name: x\n")
    git(directory, "add", ".")
    git(directory, "commit", "-q", "-m", "Begin")
    return directory


def test_the_commit_the_remote_and_the_state(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert read_git_annotations(repository, ENVIRON) == {REVISION: commit}
    git(repository, "remote", "add", "origin", "https://me:secret@code.example/hello.git?token=1")
    (repository / "untracked").touch()
    assert read_git_annotations(repository, ENVIRON) == {
        REVISION: commit,
        SOURCE: "https://code.example/hello.git",
    }
    (repository / "recipe.yaml").write_text("name: y\n")
    assert read_git_annotations(repository, ENVIRON)[REVISION] == f"{commit}-dirty"


def test_only_origin_or_the_only_remote_is_the_source(repository: Path) -> None:
    git(repository, "remote", "add", "a", "https://a.example/x")
    assert read_git_annotations(repository, ENVIRON)[SOURCE] == "https://a.example/x"
    git(repository, "remote", "add", "b", "https://b.example/x")
    assert SOURCE not in read_git_annotations(repository, ENVIRON)
    git(repository, "remote", "add", "origin", "git@c.example:team/x.git")
    assert read_git_annotations(repository, ENVIRON)[SOURCE] == "ssh://c.example/team/x.git"


def test_variables_of_another_repository_are_ignored(repository: Path) -> None:
    environ = ENVIRON | {"GIT_DIR": "/nonexistent", "GIT_INDEX_FILE": "/nonexistent"}
    assert read_git_annotations(repository, environ) == read_git_annotations(repository, ENVIRON)


def test_outside_a_repository_or_without_a_commit(tmp_path: Path) -> None:
    environ = ENVIRON | {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    with pytest.raises(UsageError, match="not in a git repository with a commit"):
        read_git_annotations(tmp_path, environ)
    git(tmp_path, "init", "-q")
    with pytest.raises(UsageError, match="not in a git repository with a commit"):
        read_git_annotations(tmp_path, environ)


def test_without_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PumiceError, match="cannot run git: it is not installed"):
        read_git_annotations(repository, {"PATH": str(tmp_path)})


def test_programs_of_a_hostile_repository_are_not_run(repository: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {trap}\n")
    program.chmod(0o755)
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        shutil.copy(program, hooks / hook)
    (repository / ".gitattributes").write_text("* filter=evil diff=evil\n")
    for name, value in (
        ("core.fsmonitor", str(program)),
        ("core.hooksPath", str(hooks)),
        ("core.sshCommand", str(program)),
        ("core.pager", str(program)),
        ("core.alternateRefsCommand", str(program)),
        ("diff.external", str(program)),
        ("diff.evil.command", str(program)),
        ("diff.evil.textconv", str(program)),
        ("filter.evil.clean", str(program)),
        ("filter.evil.process", str(program)),
        ("filter.evil.required", "true"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", f"ext::{program}"),
        ("remote.origin.uploadpack", str(program)),
        ("alias.status", f"!{program}"),
        ("credential.helper", str(program)),
    ):
        git(repository, "config", name, value)
    (repository / "recipe.yaml").write_text("name: z\n")  # status must read it
    os.utime(repository / "recipe.yaml", (1, 1))
    annotations = read_git_annotations(repository, ENVIRON)
    assert annotations[REVISION].endswith("-dirty")
    assert SOURCE not in annotations
    assert not trap.exists()


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://code.example/a.git", "https://code.example/a.git"),
        ("https://token@code.example:8443/a", "https://code.example:8443/a"),
        ("http://u:p@[::1]:80/a#f", "http://[::1]:80/a"),
        ("ssh://git@code.example/a", "ssh://code.example/a"),
        ("git@code.example:a/b.git", "ssh://code.example/a/b.git"),
        ("code.example:a", "ssh://code.example/a"),
        ("/srv/git/a.git", ""),
        ("file:///srv/git/a.git", ""),
        ("../a", ""),
        ("ext::sh -c x", ""),
        ("https://code.example:port/a", ""),
        ("https://u:p\x1b@code.example/a", ""),
        ("https://", ""),
        ("h" * 5000, ""),
        ("", ""),
    ],
)
def test_urls_lose_what_is_secret_or_local(url: str, public: str) -> None:
    assert public_url(url) == public
