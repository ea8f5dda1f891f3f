"""The resolver on small universes: `tests/golden/resolve` has one on each page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.errors import FormatError, ResolveError
from pumice.formats import relations
from pumice.recipe.model import Request
from pumice.resolve import Reason, Requirements, Solution, resolve
from pumice.resolve.problem import satisfies
from tests.support.universe import Sketch, TextUniverse, from_text, read_sketch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.aptindex import PackageRecord

PAGES = Path(__file__).parents[2] / "golden" / "resolve"
GREED = sorted((PAGES / "greed").glob("*.txt"))
PROOFS = sorted((PAGES / "proofs").glob("*.txt"))


def format_packages(packages: Sequence[PackageRecord]) -> tuple[str, ...]:
    return tuple(f"{record.name} {record.version}" for record in packages)


def choose_first_alternatives(
    universe: TextUniverse, requests: Sequence[Request]
) -> list[PackageRecord] | None:
    """What first-alternative greed gives: None when it ends nowhere or in a conflict."""
    packages: dict[str, PackageRecord] = {}
    queue = [request.name for request in requests if not request.exclude]
    excluded = {request.name for request in requests if request.exclude}
    records = [universe.versions(name)[0] for name in queue]
    while records:
        record = records.pop(0)
        if record.name in packages:
            continue
        packages[record.name] = record
        for group in relations.parse_relations(f"{record.pre_depends},{record.depends}"):
            first = group[0]
            candidates = [*universe.versions(first.name), *universe.providers(first.name)]
            if not candidates:
                return None
            records.append(candidates[0])
    for record in packages.values():
        for group in relations.parse_relations(f"{record.pre_depends},{record.depends}"):
            if not any(satisfies(package, term, "amd64") for package in packages.values() for term in group):
                return None
        for term in relations.parse_flat_relations(f"{record.conflicts},{record.breaks}"):
            if any(
                satisfies(candidate, term, "amd64")
                for candidate in packages.values()
                if candidate is not record
            ):
                return None
    return None if excluded.intersection(packages) else list(packages.values())


@pytest.mark.parametrize("path", GREED, ids=lambda path: path.stem)
def test_finds_better_sets_than_the_first_alternatives(path: Path) -> None:
    page = read_sketch(path)
    universe = from_text(page.stanzas())
    solution = resolve(universe, Requirements(requests=page.requests()))
    assert format_packages(solution.packages) == page.packages
    greedy = choose_first_alternatives(universe, page.requests())
    if greedy is not None:
        better = _costs(solution.packages) < _costs(greedy)
        preferred = path.stem in ("provider-by-priority", "other-architecture", "another-program")
        assert better or preferred, "greed gives the same, so this page shows nothing"


def _costs(packages: Sequence[PackageRecord]) -> tuple[int, int]:
    return len(packages), sum(record.installed_size for record in packages)


@pytest.mark.parametrize("path", PROOFS, ids=lambda path: path.stem)
def test_proofs_match_the_golden_pages(path: Path) -> None:
    page = read_sketch(path)
    with pytest.raises(ResolveError) as caught:
        resolve(from_text(page.stanzas()), Requirements(requests=page.requests()))
    assert f"{caught.value}\n" == page.error


def ask(text: str, *names: str, **wants: Any) -> Solution:
    page = Sketch(text, names, (), "")
    return resolve(from_text(page.stanzas()), Requirements(requests=page.requests(), **wants))


BASE = """\
app 1
  Depends: tool
  Recommends: nice, gone, heavy | light
tool 2
tool 1
nice 1
  Conflicts: tool (<< 2)
heavy 1
  Depends: gone
light 1
base-files 12
  Pre-Depends: awk
  Essential: yes
base-passwd 3
  Essential: yes
mawk 1
  Provides: awk
dash 1
  Essential: yes
  Pre-Depends: debutils
debutils 1
"""


def test_recommendations_are_followed_if_possible() -> None:
    assert format_packages(ask(BASE, "app").packages) == ("app 1", "tool 2")
    with_them = ask(BASE, "app", recommends=True)
    assert format_packages(with_them.packages) == ("app 1", "light 1", "nice 1", "tool 2")
    assert with_them.reasons["light"] == Reason("recommended", "app", "heavy | light")
    assert format_packages(ask(BASE, "app", "tool=1", recommends=True).packages) == (
        "app 1",
        "light 1",
        "tool 1",
    )
    assert format_packages(ask(BASE, "app", "-nice", recommends=True).packages) == (
        "app 1",
        "light 1",
        "tool 2",
    )


def test_base_data_comes_without_dependencies() -> None:
    solution = ask(BASE, "tool", base="data")
    assert format_packages(solution.packages) == ("tool 2",)
    assert format_packages(solution.base_data) == ("base-files 12", "base-passwd 3")
    assert solution.reasons["base-files"] == Reason("base-data")
    assert format_packages(ask(BASE, "tool", "-base-files", base="data").base_data) == ("base-passwd 3",)
    full_solution = ask(BASE, "base-files", base="data")
    assert format_packages(full_solution.packages) == ("base-files 12", "mawk 1")
    assert format_packages(full_solution.base_data) == ("base-passwd 3",)


_GLIBC = """\
libc6 2
libc6 1
libc-bin 2
  Depends: libc6 (= 2)
libc-bin 1
  Depends: libc6 (= 1)
hello 1
  Depends: libc6
"""


def test_base_data_adds_the_locale_of_the_c_library() -> None:
    solution = ask(_GLIBC, "hello", base="data")
    assert format_packages(solution.base_data) == ("libc-bin 2",)
    assert solution.reasons["libc-bin"] == Reason("base-data")
    assert format_packages(ask(_GLIBC, "hello", "libc6=1", base="data").base_data) == ("libc-bin 1",)


@pytest.mark.parametrize("names", [("hello", "-libc-bin"), ("hello", "libc-bin"), ()])
def test_base_data_adds_no_locale_if_it_is_excluded_installed_or_without_library(
    names: tuple[str, ...],
) -> None:
    assert ask(_GLIBC, *names, base="data").base_data == ()


def test_an_image_without_base_gets_no_locale() -> None:
    assert ask(_GLIBC, "hello").base_data == ()


def test_base_essential_comes_with_dependencies() -> None:
    solution = ask(BASE, base="essential")
    assert format_packages(solution.packages) == (
        "base-files 12",
        "base-passwd 3",
        "dash 1",
        "debutils 1",
        "mawk 1",
    )
    assert solution.reasons["dash"] == Reason("essential")
    assert solution.reasons["mawk"] == Reason("needed", "base-files", "awk")
    assert "dash 1" not in format_packages(ask(BASE, "-dash", base="essential").packages)


def test_requested_pinned_and_held_back_versions() -> None:
    assert format_packages(ask(BASE, "app", "tool=1").packages) == ("app 1", "tool 1")
    assert format_packages(ask(BASE, "app", pins={"tool": "1"}).packages) == ("app 1", "tool 1")
    assert format_packages(ask(BASE, "app", pins={"tool": "0.9", "light": "1"}).packages) == (
        "app 1",
        "tool 2",
    )
    assert format_packages(ask("app 1\n  Depends: a | b\na 1\nb 1\n", "app", pins={"b": "1"}).packages) == (
        "app 1",
        "b 1",
    )
    pinned = "app 2\n  Depends: tool (>= 2)\napp 1\n  Depends: tool\ntool 2\ntool 1\n"
    assert format_packages(ask(pinned, "app", pins={"tool": "1"}).packages) == ("app 2", "tool 2")
    held_back_solution = ask("app 1\n  Depends: tool\ntool 2\n  Depends: gone\ntool 1\n", "app")
    assert [(record.version, newest) for record, newest in held_back_solution.held_back] == [("1", "2")]
    assert ask(BASE, "app", pins={"tool": "1"}).held_back == ()


def test_local_packages_are_preferred() -> None:
    page = Sketch(BASE, ("app",), (), "")
    local = from_text("Package: tool\nVersion: 0.1\nFilename: tool.deb\nInstalled-Size: 3").versions("tool")[
        0
    ]
    request = Request(name="", file="tool.deb", where="recipe.yaml:9:5")
    wants = Requirements(requests=(*page.requests(), request), local={"tool.deb": local})
    solution = resolve(from_text(page.stanzas()), wants)
    assert format_packages(solution.packages) == ("app 1", "tool 0.1")
    assert solution.packages[1].filename == "tool.deb"
    assert solution.reasons["tool"] == Reason("requested", where="recipe.yaml:9:5")


def test_reasons_are_the_shortest_chain() -> None:
    solution = ask("a 1\n  Depends: b\nb 1\n  Depends: c\nc 1\nd 1\n  Depends: c (>= 1) | b\n", "a", "d")
    assert solution.reasons == {
        "a": Reason("requested", where="recipe.yaml:5:5"),
        "d": Reason("requested", where="recipe.yaml:6:5"),
        "b": Reason("needed", "a", "b"),
        "c": Reason("needed", "d", "c (>= 1) | b"),
    }


def test_errors_for_malformed_fields_name_the_package() -> None:
    with pytest.raises(FormatError, match="is not a relationship") as caught:
        ask("app 1\n  Depends: a b c\n", "app")
    assert caught.value.where == "debian/bookworm: Depends of app 1"


NAMES = ["a", "b", "c", "d", "e", "f"]
terms = st.builds(
    lambda name, tail: name + tail,
    st.sampled_from([*NAMES, "v", "gone"]),
    st.sampled_from(["", "", "", " (>= 2)", " (<< 2)", " (= 1)"]),
)
stanzas = st.fixed_dictionaries(
    {"Package": st.sampled_from(NAMES), "Version": st.sampled_from(["1", "2"])},
    optional={
        "Depends": st.lists(st.lists(terms, min_size=1, max_size=3).map(" | ".join), max_size=3).map(
            ", ".join
        ),
        "Conflicts": terms,
        "Breaks": terms,
        "Provides": st.sampled_from(["v", "v (= 1)", "v (= 2)", "a (= 3)"]),
        "Installed-Size": st.sampled_from(["1", "20", "300"]),
    },
).map(lambda fields: "\n".join(f"{field}: {value}" for field, value in fields.items() if value))
universes = st.lists(stanzas, min_size=1, max_size=9, unique_by=lambda text: text[:24]).map("\n\n".join)


def find_all_solutions(universe: TextUniverse, requests: Sequence[str]) -> list[frozenset[tuple[str, str]]]:
    """Every valid set, by trying all of them."""
    package_sets = []
    records = [record for name in NAMES for record in universe.versions(name)]
    for bit_mask in range(1 << len(records)):
        packages = [record for index, record in enumerate(records) if bit_mask >> index & 1]
        if is_valid(packages) and all(any(record.name == name for record in packages) for name in requests):
            package_sets.append(frozenset((record.name, record.version) for record in packages))
    return package_sets


def is_valid(packages: Sequence[PackageRecord]) -> bool:
    if len({record.name for record in packages}) < len(packages):
        return False
    for record in packages:
        for group in relations.parse_relations(record.depends):
            if not any(satisfies(package, term, "amd64") for package in packages for term in group):
                return False
        for term in relations.parse_flat_relations(f"{record.conflicts},{record.breaks}"):
            if any(satisfies(candidate, term, "amd64") for candidate in packages if candidate is not record):
                return False
    return True


@settings(deadline=None, max_examples=300)
@given(universes, st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), st.randoms())
def test_is_correct_for_any_universe(text: str, requested_names: list[str], random: object) -> None:
    universe = from_text(text)
    possible = find_all_solutions(universe, requested_names)
    requests = [
        Request(name=name, where=f"recipe.yaml:{line}:1") for line, name in enumerate(requested_names, 1)
    ]
    try:
        solution = resolve(universe, Requirements(requests=tuple(requests)))
    except ResolveError as error:
        assert not possible, f"there is {possible[0]}, but: {error}"
        return
    package_set = frozenset((record.name, record.version) for record in solution.packages)
    assert package_set in possible
    assert not any(alternative < package_set for alternative in possible), "a package could be left out"
    assert set(solution.reasons) == {name for name, _ in package_set}
    random.shuffle(requests)  # type: ignore[attr-defined]  # hypothesis does not type its random object
    second_solution = resolve(from_text(text), Requirements(requests=tuple(requests)))
    assert second_solution.packages == solution.packages
