"""Files that nobody named on the command line are read only if they are files, and never quoted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FetchError, LockError, PumiceError, RecipeError, TrustError
from pumice.recipe import config, lock_reader
from pumice.recipe.load import load_recipe
from pumice.recipe.model import Request
from pumice.registry import registry_config
from tests.support.recipes import HEAD, write

SECRET = "hunter2-s3cr3t"
"""Stands wherever a file can have something."""
SHAPES = (
    "{0}",
    "{0}: x",
    "root:{0}:0:0\nx: y",
    "name: {0}!",
    "version: '{0} {0}'",
    "- {0}",
    "name: [{0}]",
    "&a {0}",
    "*{0}",
    "!{0} x",
    "{0}: 1\n{0}: 2",
    "{{{0}: [",
    "? [{0}]\n: x",
    "labels: {{'a={0}': x}}",
    "packages: ['{0} >= 1']",
    "users: [{{name: '{0}!'}}]",
    "users: [{{name: a, uid: {0}}}]",
    "run: {{command: '{0} -x'}}",
    "run: {{ports: {{{0}: 99999}}}}",
    "run: {{ports: {{a: {0}}}}}",
    "environment: {{'1{0}': x}}",
    "environment: {{{0}: }}",
    "files: [{{to: '{0}'}}]",
    "files: [{{to: /x, {0}: 1}}]",
    "extend: {0}",
    "extend: [{0}, '']",
    "archs: ['{0}']",
    "from: {{debian: '{0} x'}}",
    "from: {{debian: a, mirrors: ['https://u:{0}@h/']}}",
    "base: {0}",
    "recommends: {0}",
    "labels: {{{0}: []}}",
    "run: {{stop_signal: {0}}}",
    "run: {{health: {{interval: {0}}}}}",
    '"\\q{0}"',
    "\t{0}: x",
    "@{0}",
    "%{0}",
    "a: {0}: b",
    "groups: [{{name: {0}, gid: 1}}, {{name: {0}, gid: 2}}]",
    "users: [{{name: x{0}, uid: 1}}, {{name: y{0}, uid: 1}}]",
    "packages: [{0}, {0}]",
)


def folded(text: str) -> str:
    """Text without the case, because some grammars only take lower-case letters."""
    return text.lower()


@pytest.mark.parametrize("shape", SHAPES)
def test_an_extended_file_is_never_quoted(shape: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(shape.format(SECRET) + "\n")
    main = write(tmp_path, HEAD + "extend: secret\n")
    try:
        load_recipe(main)
    except RecipeError as error:
        assert SECRET not in folded(str(error))
        assert all(f"{tmp_path}/secret:" in (problem.where or "") for problem in error.problems)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_configuration_is_never_quoted(shape: str) -> None:
    for section in ("", "sign: ", "debian: ", "registries: "):
        text = shape.format(SECRET)
        data = (section + "{" + text + "}" if section else text).encode()
        for reader in (config.parse_config, registry_config.read_registry_configs):
            try:
                reader(data, "/c.yaml")
            except PumiceError as error:
                assert SECRET not in folded(str(error))


@given(
    st.recursive(
        st.sampled_from([SECRET, f"{SECRET} {SECRET}", 1, None, "amd64"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([SECRET, "packages", "lock", "format", "requirements", "indexes"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_a_file_that_is_not_a_lock_is_never_quoted(value: object) -> None:
    for text in (
        json.dumps(value),
        json.dumps(value)[:-1],
        f"{SECRET}: x",
        f'{{"{SECRET}": 1, "{SECRET}": 2}}',
    ):
        with pytest.raises(LockError) as caught:
            lock_reader.parse_lock(text.encode(), "recipe.lock")
        assert SECRET not in folded(str(caught.value))


def test_the_main_recipe_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown key 'pakages'"):
        load_recipe(write(tmp_path, HEAD + "pakages: []\n"))


@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_only_regular_files_are_read(kind: str, tmp_path: Path) -> None:
    """A pipe would never end, and looking at a device may do something."""
    from pumice.assembly import lock_update
    from pumice.distro.debian import sources

    odd = tmp_path / "odd.deb"
    if kind == "fifo":
        os.mkfifo(odd)
    elif kind == "device":
        odd.symlink_to("/dev/zero")
    else:
        odd.mkdir()
    with pytest.raises(RecipeError, match=r"not a regular file|is a directory"):
        load_recipe(write(tmp_path, HEAD + "extend: odd.deb\n"))
    with pytest.raises(LockError):
        lock_reader.read_lock(odd)
    with pytest.raises(FetchError):
        lock_update.read_local_record(tmp_path, Request(name="", file="odd.deb"))
    with pytest.raises(TrustError):
        sources._read_keyring(odd)


def test_the_main_recipe_may_be_a_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, HEAD.encode())
    os.close(writing)
    try:
        assert load_recipe(f"/dev/fd/{reading}").name == "example.com/hello"
    finally:
        os.close(reading)
