"""Ignore lists against git itself: patterns as public collections have them, and any others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumice.formats.gitignore import IgnorePatterns
from tests.support.git import Git

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of each kind that templates for editors, languages and build systems have.
COMMON = (
    "*.py[cod]", "*$py.class", "__pycache__/", ".Python", "lib64/", "*.egg-info/", ".installed.cfg", "*.so",
    "\\#*\\#", ".\\#*", "*~", "*_flymake.*", "/eshell/history", "/server/", ".*.sw[a-p]",
    "[._]*.s[a-v][a-z]", "!*.svg", "[._]*.un~", "Session.vim", "[Dd]ebug/", "[Rr]eleases/",
    "[Bb]uild[Ll]og.*", "x64/", "*.rsuser", "Generated\\ Files/", "[Tt]est[Rr]esult*/", "*.[Pp]ublish.xml",
    "_ReSharper*/", "**/[Pp]ackages/*", "!**/[Pp]ackages/build/", "*.jfm", "~$*", "*.~*", "*.bak[0-9]",
    "#*#", "# comment", "", "   ", "\\!important", "!keep.txt", "/vendor/", "/vendor/*", "!/vendor/keep",
    "doc/**", "doc/**/*.html", "**/node_modules/", "foo/bar", "node_modules/**/test", "*.log", "!/*.log",
    "log/*.log[0-9]*", "build-*/", ".env.*", "!.env.example", "core.*", "/[Ll]ibrary/", "*.[oa]",
    "*.so.[0-9]*", "[^bk]*.txt", "[!a-c]x", "[]a]b", "[a-c[:digit:]]", "star\\*", "a\\ ", "trailing ",
    "trailing\\  ", "**", "**/", "/**", "/", "//", "a//", "!", "a**", "a**/b", "/a**", "**a", "*/b",
    "a/*/b", "compiled/", "*_compiled/", "_autosave-*", "*-save.pro", "fp-info-cache", "*.xcodeproj/*",
    "Thumbs.db:*", "?.tmp", "??", "[", "[a", "a[]", "a\\", "[[:foo:]]x", "[[:alpha:]-z]", "[a-]", "[\\]]x",
    "[z-a]", "café", "caf?",
)  # fmt: skip
NAMES = (
    "a", "b", "c", "ab", "a.txt", "b.txt", "keep.txt", "#x#", ".#lock", "#", "x~", ".x.swp", "Debug",
    "debug", "packages", "Packages", "build", "vendor", "keep", "doc", "index.html", "node_modules", "test",
    "x.log", "x.log1", ".env.a", ".env.example", "Generated Files", "star*", "starx", "a ", "a\\", "]b",
    "ax", "dx", "1", "-", "z", "[", "[a", "a[]", "trailing", "trailing ", "!important", "!", "café",
    "# comment", "x.pyc", "x.egg-info", "bak0", "aab", "myPackages", "]x", "\\x",
)  # fmt: skip


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    return Git(tmp_path_factory.mktemp("git"))


def ignored_by_pumice(patterns: Sequence[str], paths: Sequence[str]) -> set[str]:
    """The same with a walk that never looks into what is ignored."""
    ignore = IgnorePatterns(patterns)
    ignored_paths = set()
    for path in paths:
        components = path.rstrip("/").split("/")
        parent_paths = ["/".join(components[:length]) for length in range(1, len(components))]
        if any(ignore.matches(folder, is_directory=True) for folder in parent_paths) or ignore.matches(
            "/".join(components), is_directory=path.endswith("/")
        ):
            ignored_paths.add(path)
    return ignored_paths


FOLDERS = ("a", "doc", "Packages", "node_modules/x")
PATHS = [
    sorted({*NAMES, *(f"{folder}/{name}" for folder in FOLDERS for name in NAMES)}),
    sorted({f"{name}/" for name in NAMES} | {f"{folder}/{name}/" for folder in FOLDERS for name in NAMES}),
]


def consistent(paths: Sequence[str]) -> list[str]:
    """Leave out files where a folder is."""
    folders = {path.rstrip("/") for path in paths if path.endswith("/")}
    for path in paths:
        components = path.rstrip("/").split("/")
        folders |= {"/".join(components[:length]) for length in range(1, len(components))}
    return [path for path in paths if path not in folders]


@pytest.mark.peer("git")
@pytest.mark.parametrize("paths", PATHS, ids=["files", "folders"])
def test_common_patterns_ignore_what_git_ignores(git: Git, paths: list[str]) -> None:
    paths = consistent(paths)
    for pattern in COMMON:
        assert (pattern, ignored_by_pumice([pattern], paths)) == (pattern, git.ignored([pattern], paths))


_PIECES = ["**", "*", "a", "b", "a*", "?", "[ab]", "[^a]", "\\a", "/", "a**"]
_PATTERN = st.one_of(
    st.sampled_from(COMMON),
    st.text("ab#! *?[]^-\\/.:", max_size=8),
    st.lists(st.sampled_from(_PIECES), max_size=6).map("".join),
)
_PART = st.sampled_from(NAMES) | st.text("ab#!]^-.:[", min_size=1, max_size=3).filter(
    lambda part: part.strip(".")
)
_PATH = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(_PART, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@pytest.mark.peer("git")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    patterns=st.lists(_PATTERN, min_size=1, max_size=4),
    paths=st.lists(_PATH, min_size=1, max_size=30, unique=True),
)
def test_any_patterns_ignore_what_git_ignores(git: Git, patterns: list[str], paths: list[str]) -> None:
    paths = consistent(paths)
    assert ignored_by_pumice(patterns, paths) == git.ignored(patterns, paths)


def test_many_stars_take_linear_time() -> None:
    assert not IgnorePatterns(["/".join(["**", "a"] * 200)]).matches("/".join("ab" * 200), is_directory=False)
    assert not IgnorePatterns(["*a" * 60 + "b"]).matches("a" * 200, is_directory=False)
