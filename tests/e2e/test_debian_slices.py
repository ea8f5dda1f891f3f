"""The slices for Debian that come with Pumice: images of them are built from the real archive, and used.

Together, the recipes have every package of the data. CI builds some of them, and `make soak` all.
"""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
import yaml

from pumice.slices import closure
from pumice.slices.model import Release
from pumice.slices.release import load_release
from pumice.slices.releases import builtin_names, find_release
from tests.support.real import must
from tests.support.sampling import is_soak
from tests.support.sliced_recipes import NAMES, RECIPES, SUITES, recipe_text

TARGETS = {
    "bookworm": {"hello-python": 12.0, "static": 0.8, "nginx": 6.0, "java": 82.0},
    "trixie": {"hello-python": 12.0, "static": 0.8, "nginx": 6.0, "java": 82.0},
}
"""The most that the compressed layers of an image may have, in MB."""
_AARCH64 = 183
"""The number by which ELF files say that they are for arm64 (elf.h: e_machine)."""
IN_CI = {
    "bookworm": ("hello-python", "java", "network", "nginx", "php", "static"),
    "trixie": ("hello-python", "nginx", "python", "static", "web"),
}
IMAGES = [(name, suite) for suite in SUITES for name in (NAMES if is_soak() else IN_CI[suite])]


@cache
def release(suite: str) -> Release:
    return load_release(find_release(suite, Path()))


def test_every_release_is_tested() -> None:
    assert tuple(builtin_names()) == SUITES


@pytest.mark.parametrize("suite", SUITES)
def test_a_release_covers_many_packages_and_every_package_is_in_a_tested_image(suite: str) -> None:
    packages = release(suite).packages
    assert len(packages) >= 250
    selected = [str(item) for name in NAMES for item in yaml.safe_load(recipe_text(name, suite))["packages"]]
    tested = {item.package for item in closure.select(release(suite), selected, "amd64")}
    assert sorted(packages.keys() - tested) == []


@pytest.mark.parametrize("suite", SUITES)
def test_definitions_do_not_name_versions_of_packages(suite: str) -> None:
    """A Debian revision or an epoch in a path would stop the build with every update."""
    revision = re.compile(r"[0-9]-[0-9]+(?:\+deb[0-9]+u[0-9]+|~deb[0-9])|\+deb[0-9]+u")
    named = [
        rule.path
        for item in release(suite).all_slices()
        for rule in item.contents
        if revision.search(rule.path)
    ]
    assert named == []


@pytest.mark.parametrize("suite", SUITES)
def test_no_program_needs_the_tools_of_packages(suite: str) -> None:
    """What only package scripts use never comes along with the servers."""
    servers = ["nginx_bins", "haproxy_bins", "redis-server_bins", "mariadb-server_bins", "bind9_bins"]
    packages = {item.package for item in closure.select(release(suite), servers, "amd64")}
    assert not packages & {"adduser", "debconf", "dpkg", "init-system-helpers", "perl-base", "passwd", "tar"}


@pytest.mark.parametrize("suite", SUITES)
def test_a_link_to_the_documentation_of_another_package_brings_its_copyright(suite: str) -> None:
    links = [
        item
        for item in release(suite).all_slices()
        for rule in item.contents
        if rule.path == f"/usr/share/doc/{item.package}"
    ]
    without = [
        item.full_name
        for item in links
        if not any(other.name.endswith("_copyright") for other in item.essential)
    ]
    assert (len(links) > 10, without) == (True, [])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the images of this file share, so that each package is cut once."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.mirror
@pytest.mark.sampled
@pytest.mark.parametrize(("name", "suite"), IMAGES)
def test_an_image_of_slices_works(name: str, suite: str, home: Path, tmp_path: Path) -> None:
    shutil.copytree(RECIPES, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_text(name, suite))
    output = must(home, "test", "--timeout", "300", path)
    assert output.endswith(" 0 failed")
    if name in TARGETS[suite]:
        must(home, "build", path, "-o", f"oci:{tmp_path / 'out'}", "--no-store")
        assert compressed_size(tmp_path / "out") / 1e6 <= TARGETS[suite][name]


CHECKED = ("libgomp1_copyright", "nginx_bins", "openssl_config", "python3-minimal_bins", "tar_bins")
"""The slices that CI compares with their packages; `make soak` compares all."""


@pytest.mark.mirror
@pytest.mark.sampled
@pytest.mark.parametrize("suite", SUITES)
def test_slices_agree_with_the_packages_of_their_suite(suite: str, home: Path) -> None:
    names = () if is_soak() else CHECKED
    output = must(home, "slice", "check", *names, "--release", suite, "--suite", suite, "--arch", "amd64")
    assert output.endswith("no problems")


_OF_ONE_ARCHITECTURE = re.compile(r"/ld-linux-|/lib64$|/libmvec")
"""The loaders, and the vector library, which glibc has for some architectures only."""
_TRIPLET = re.compile(r"x86_64-linux-gnu|aarch64-linux-gnu|(?<=:)(?:amd64|arm64)(?=\.)")


@pytest.mark.mirror
@pytest.mark.sampled
@pytest.mark.parametrize("suite", SUITES)
def test_the_same_slices_give_the_same_files_for_arm64(suite: str, home: Path, tmp_path: Path) -> None:
    shutil.copytree(RECIPES, tmp_path, dirs_exist_ok=True)
    path, layout = tmp_path / "recipe.yaml", tmp_path / "out"
    path.write_text(recipe_text("nginx", suite))
    must(home, "build", path, "--arch", "amd64", "--arch", "arm64", "-o", f"oci:{layout}", "--no-store")
    files = {}
    for name in ("amd64", "arm64"):
        options = ("--platform", f"linux/{name}", "--format", "{{.Path}}")
        listed = must(home, "files", f"oci:{layout}", *options).splitlines()
        files[name] = {_TRIPLET.sub("ARCH", line) for line in listed}
    different = {line for line in files["amd64"] ^ files["arm64"] if not _OF_ONE_ARCHITECTURE.search(line)}
    assert different == set()
    root = tmp_path / "root"
    options = ("--platform", "linux/arm64", "--only-image", "--insecure-options=image")
    must(home, "copy", f"oci:{layout}", f"dir:{root}", *options)
    for program in ("usr/sbin/nginx", "usr/lib/aarch64-linux-gnu/libc.so.6"):
        assert int.from_bytes((root / program).read_bytes()[18:20], "little") == _AARCH64
    must(home, "check", f"oci:{layout}", "--platform", "linux/arm64")


def compressed_size(layout: Path) -> int:
    """Return the bytes of the layers of the only image in a layout."""
    document = json.loads((layout / "index.json").read_text())
    while "manifests" in document:
        digest = document["manifests"][0]["digest"].removeprefix("sha256:")
        document = json.loads((layout / "blobs/sha256" / digest).read_text())
    return sum(layer["size"] for layer in document["layers"])
