from __future__ import annotations

import pytest

from pumice.assembly.package_version import derive_tags, resolve_version
from pumice.errors import RecipeError
from pumice.recipe.lock import LockedPackage
from pumice.recipe.model import Origin, PackageVersion, Recipe

RECIPE = Recipe(
    name="example.com/db",
    version="VERSION",
    version_from=PackageVersion(package="postgresql-15", where="recipe.yaml:2:10"),
    origin=Origin(debian="bookworm"),
    path="recipe.yaml",
)


def locked(version: str, name: str = "postgresql-15") -> tuple[LockedPackage, ...]:
    return (
        LockedPackage(
            name=name, version=version, architecture="amd64", archive="debian", suite="bookworm",
            path="x.deb", size=1, sha256="0" * 64,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "tags"),
    [
        ("15.14", ("15",)),
        ("3.11.2", ("3", "3.11")),
        ("20230311", ()),
        ("17.0.16+8", ("17", "17.0", "17.0.16")),
        ("16~rc1", ()),
        ("9.2p1", ()),
        ("1.0rc1", ()),
    ],
)
def test_the_tags_of_the_release_series_follow_from_the_version(version: str, tags: tuple[str, ...]) -> None:
    assert derive_tags(version) == tags


def test_the_version_of_the_package_becomes_that_of_the_image() -> None:
    recipe = resolve_version(RECIPE, {"amd64": locked("15.14-0+deb12u1")}, ["amd64"])
    assert (recipe.version, recipe.tags, recipe.version_from) == ("15.14", ("15",), None)
    assert resolve_version(recipe, {}, ["amd64"]) == recipe


def test_characters_that_tags_do_not_allow_become_dashes() -> None:
    assert resolve_version(RECIPE, {"amd64": locked("16~rc1-1")}, ["amd64"]).version == "16-rc1"
    assert resolve_version(RECIPE, {"amd64": locked("17.0.16+8-1")}, ["amd64"]).version == "17.0.16-8"


def test_rebuilt_packages_of_one_version_agree() -> None:
    packages = {"amd64": locked("15.14-1+b1"), "arm64": locked("15.14-1")}
    assert resolve_version(RECIPE, packages, ["amd64", "arm64"]).version == "15.14"


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        (
            {"amd64": locked("15.14-1"), "arm64": locked("15.13-1")},
            (
                "recipe.yaml:2:10: postgresql-15 is 15.14 on amd64, but 15.13 on arm64\n"
                "  hint: lock the same version for both: pumice lock --upgrade=postgresql-15 recipe.yaml"
            ),
        ),
        (
            {"amd64": locked("1", "postgresql-16"), "arm64": locked("1", "postgresql-16")},
            (
                "recipe.yaml:2:10: cannot take the version from postgresql-15: "
                "the image has no such package\n"
                "  hint: did you mean 'postgresql-16'?"
            ),
        ),
        (
            {"amd64": locked("1", "busybox"), "arm64": locked("1", "busybox")},
            (
                "recipe.yaml:2:10: cannot take the version from postgresql-15: "
                "the image has no such package\n"
                "  hint: add postgresql-15 under 'packages'"
            ),
        ),
        (
            {"amd64": locked("1:2:3-1"), "arm64": locked("1:2:3-1")},
            (
                "recipe.yaml:2:10: the version 2:3 of postgresql-15 is not a tag\n"
                "  hint: write the version of the image"
            ),
        ),
    ],
)
def test_a_version_that_the_lock_does_not_have_is_an_error(
    packages: dict[str, tuple[LockedPackage, ...]], message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve_version(RECIPE, packages, ["amd64", "arm64"])
    assert str(caught.value) == message
