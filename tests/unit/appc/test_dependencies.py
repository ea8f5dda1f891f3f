"""Dependencies: the order in which images are unpacked, whose whitelists apply, and which image is meant."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from pumice.appc.dependencies import Candidate, choose_dependency, plan_rendering
from pumice.appc.image_manifest import Dependency, ImageManifest
from pumice.appc.labels import Label
from pumice.errors import FormatError, ImageError, TrustError


def image_id(name: str) -> str:
    return "sha512-" + name.encode().hex().rjust(128, "0")


def candidate(name: str, dependencies: str = "", whitelist: str = "", **more: Any) -> Candidate:
    manifest = ImageManifest(
        name=name,
        dependencies=tuple(Dependency(image_name=each) for each in dependencies.split()),
        path_whitelist=tuple(whitelist.split()),
        **more,
    )
    return Candidate(manifest, image_id(name), (100,), f"{name}.aci")


def plan(*images: Candidate) -> str:
    return " ".join(visit.image.manifest.name for visit in plan_rendering(images[0], images[1:]))


@pytest.mark.parametrize(
    ("images", "order"),
    [
        ([candidate("a")], "a"),
        ([candidate("a", "b"), candidate("b")], "b a"),
        ([candidate("a", "b c"), candidate("b"), candidate("c")], "b c a"),
        ([candidate("a", "c b"), candidate("b"), candidate("c")], "c b a"),
        # the examples of the specification
        ([candidate("a", "b c"), candidate("b"), candidate("c", "d"), candidate("d")], "b d c a"),
        ([candidate("a", "b c"), candidate("b", "d"), candidate("c", "d"), candidate("d")], "d b d c a"),
        ([candidate("a", "b"), candidate("b", "c"), candidate("c", "d"), candidate("d")], "d c b a"),
    ],
)
def test_images_come_after_their_dependencies_in_the_order_of_the_list(
    images: list[Candidate], order: str
) -> None:
    assert plan(*images) == order


def allowed(images: list[Candidate], path: str, *, is_directory: bool = False) -> str:
    return " ".join(
        visit.image.manifest.name
        for visit in plan_rendering(images[0], images[1:])
        if visit.allows(path, is_directory=is_directory)
    )


@pytest.mark.parametrize(
    ("whitelists", "path", "is_directory", "images"),
    [
        # a -> b c, c -> d: whose file /x stays
        ({}, "x", False, "b d c a"),
        ({"a": "/x"}, "x", False, "b d c a"),
        ({"a": "/y"}, "x", False, ""),
        ({"c": "/y"}, "x", False, "b a"),  # the reference applies it to b as well
        ({"b": "/y"}, "x", False, "d c a"),
        ({"d": "/y"}, "x", False, "b c a"),
        ({"a": "/x", "c": "/y"}, "x", False, "b a"),  # the reference skips the middle one
        ({"a": "/x /y", "c": "/x /y", "d": "/y"}, "x", False, "b c a"),
        ({"a": "/x/y/z"}, "x/y/z", False, "b d c a"),
        ({"a": "/x/y/z"}, "x/y", True, "b d c a"),  # its own mode and owner stay
        ({"a": "/x/y/z"}, "x/y", False, ""),  # a link to a directory is not a directory
        ({"a": "/x/y"}, "x/y/z", False, ""),  # a directory stays without what is in it
        ({"a": "/x"}, "", True, "b d c a"),  # the root
        ({"a": "/./x//y/"}, "x/y", False, "b d c a"),
    ],
)
def test_a_file_must_be_in_the_whitelists_of_its_image_and_of_all_above_it(
    whitelists: dict[str, str], path: str, is_directory: bool, images: str
) -> None:
    graph = {"a": "b c", "b": "", "c": "d", "d": ""}
    given = [candidate(name, dependencies, whitelists.get(name, "")) for name, dependencies in graph.items()]
    assert allowed(given, path, is_directory=is_directory) == images


def test_a_shared_dependency_is_filtered_by_the_way_to_it() -> None:
    graph = [candidate("a", "b c"), candidate("b", "d", "/x"), candidate("c", "d", "/y"), candidate("d")]
    visits = [visit for visit in plan_rendering(graph[0], graph[1:]) if visit.image.manifest.name == "d"]
    assert [visit.allows("x", is_directory=False) for visit in visits] == [True, False]
    assert [visit.allows("y", is_directory=False) for visit in visits] == [False, True]


def test_images_that_depend_on_themselves_are_refused() -> None:
    with pytest.raises(FormatError, match="depends on itself"):
        plan(candidate("a", "b"), candidate("b", "b"))
    top = candidate("a", "b")
    with pytest.raises(FormatError, match="depends on itself"):
        plan_rendering(top, [candidate("b", "a"), top])


def test_too_many_visits_are_refused() -> None:
    names = [f"n{number}" for number in range(30)]
    chain = [candidate(name, f"{after} {after}") for name, after in itertools.pairwise(names)]
    with pytest.raises(FormatError, match="more than 500 images"):
        plan(*chain, candidate(names[-1]))


V1 = candidate("b", labels=(Label("version", "1"), Label("os", "linux")))


@pytest.mark.parametrize(
    "dependency",
    [
        Dependency(image_name="b"),
        Dependency(image_name="b", labels=(Label("version", "1"),)),
        Dependency(image_name="b", image_id=image_id("b")),
        Dependency(image_name="b", size=100),
    ],
)
def test_a_dependency_is_the_image_of_its_name_labels_id_and_size(dependency: Dependency) -> None:
    assert choose_dependency(dependency, [candidate("c"), V1], "a.aci") is V1


def test_an_image_without_a_file_has_no_size_but_an_id() -> None:
    stored = msgspec.structs.replace(V1, sizes=())
    pinned = Dependency(image_name="b", image_id=image_id("b"), size=99)
    assert choose_dependency(pinned, [stored], "a.aci") is stored
    with pytest.raises(TrustError, match="requires a size") as refused:
        choose_dependency(Dependency(image_name="b", size=99), [stored], "a.aci")
    assert "pumice convert" in str(refused.value.hint)
    two_files = msgspec.structs.replace(V1, sizes=(99, 100))
    assert choose_dependency(Dependency(image_name="b", size=100), [two_files], "a.aci") is two_files


@pytest.mark.parametrize(
    ("dependency", "error", "sentence"),
    [
        (Dependency(image_name="x"), ImageError, "depends on x, which was not given"),
        (Dependency(image_name="b", labels=(Label("version", "2"),)), ImageError, "depends on b,version=2"),
        (Dependency(image_name="b", image_id=image_id("other")), TrustError, "does not have the ID"),
        (Dependency(image_name="b", size=99), TrustError, "does not have the size"),
    ],
)
def test_another_image_behind_the_name_of_a_dependency_is_refused(
    dependency: Dependency, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        choose_dependency(dependency, [V1], "a.aci")
