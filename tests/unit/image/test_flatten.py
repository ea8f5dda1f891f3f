"""Merging layers, against a model so simple that it must be right: a dictionary of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from pumice.errors import FormatError
from pumice.formats.tar import Entry, Kind
from pumice.image.flatten import Origin, VisibleEntry, flatten

if TYPE_CHECKING:
    from collections.abc import Iterator


def entry(path: str, kind: Kind = "file", **fields: Any) -> Entry:
    return Entry(path=path, kind=kind, mode=0o644, **fields)


def paths(*layers: list[Entry]) -> dict[str, tuple[str, Origin]]:
    return {
        path: (flattened_entry.entry.kind, flattened_entry.origin)
        for path, flattened_entry in flatten(layers).items()
        if path
    }


def test_an_image_without_layers_is_an_empty_root() -> None:
    assert flatten([]) == {"": VisibleEntry(Entry(path="", kind="dir", mode=0o755), Origin(-1, -1))}


def test_later_layers_hide_earlier_ones() -> None:
    flattened_entries = flatten([[entry("a"), entry("b")], [entry("a", size=5)]])
    assert flattened_entries["a"].origin == Origin(1, 0)
    assert flattened_entries["b"].origin == Origin(0, 1)


def test_a_directory_over_a_directory_changes_it_and_keeps_what_is_in_it() -> None:
    assert paths([entry("d", "dir"), entry("d/x")], [entry("d", "dir")]) == {
        "d": ("dir", Origin(1, 0)),
        "d/x": ("file", Origin(0, 1)),
    }


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_anything_else_over_a_directory_takes_its_place(kind: Kind) -> None:
    upper = entry("d", kind, link="t" if kind == "symlink" else "")
    assert paths([entry("d", "dir"), entry("d/x")], [upper]) == {"d": (kind, Origin(1, 0))}


def test_whiteouts_remove_from_the_layers_below_only_wherever_they_stand() -> None:
    for upper in (
        [entry(".wh.a"), entry("a", "dir"), entry("a/new")],
        [entry("a", "dir"), entry("a/new"), entry(".wh.a")],
    ):
        assert set(paths([entry("a", "dir"), entry("a/old")], upper)) == {"a", "a/new"}


def test_an_opaque_directory_shows_nothing_from_below() -> None:
    upper = [entry("d/new"), entry("d/.wh..wh..opq")]
    visible_paths = paths([entry("d", "dir"), entry("d/old"), entry("d/sub/x"), entry("e")], upper)
    assert set(visible_paths) == {"d", "d/new", "e"}
    assert visible_paths["d"] == ("dir", Origin(0, 0))


def test_an_opaque_root_hides_everything_below() -> None:
    assert set(paths([entry("a"), entry("b/c")], [entry(".wh..wh..opq"), entry("n")])) == {"n"}


def test_the_private_notes_of_aufs_are_ignored() -> None:
    assert paths([entry(".wh..wh.plnk", "dir"), entry(".wh..wh.plnk/1"), entry(".wh..wh.orph", "dir")]) == {}


@pytest.mark.parametrize("path", [".wh.", "a/.wh.", ".wh...", ".wh..", "a/.wh.../b", ".wh.a/b"])
def test_whiteouts_of_nothing_and_below_whiteouts_are_refused(path: str) -> None:
    with pytest.raises(FormatError):
        flatten([[entry(path)]])


def test_removing_what_is_not_there_is_nothing() -> None:
    assert set(paths([entry("a")], [entry(".wh.b"), entry("c/.wh.d"), entry("a/.wh.x")])) == {"a"}


def test_a_link_of_a_lower_layer_is_replaced_by_a_directory_as_overlayfs_shows_it() -> None:
    visible_paths = paths([entry("a", "symlink", link="/etc")], [entry("a/passwd")])
    assert visible_paths == {"a": ("dir", Origin(-1, -1)), "a/passwd": ("file", Origin(1, 0))}


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("u/b", "u/b/x"),
        ("/u/b", "u/b/x"),
        ("../../u/b", "u/b/x"),
        ("u/b/..", "u/x"),
        ("./u//b/", "u/b/x"),
        ("nowhere/y", "nowhere/y/x"),
        ("chain", "u/b/x"),
        ("/", "x"),
    ],
)
def test_entries_below_a_link_of_their_own_layer_go_where_it_points(link: str, target: str) -> None:
    layer = [
        entry("u/b", "dir"),
        entry("chain", "symlink", link="u/b"),
        entry("l", "symlink", link=link),
        entry("l/x"),
    ]
    visible_paths = paths(layer)
    assert visible_paths[target] == ("file", Origin(0, 3))
    assert visible_paths["l"] == ("symlink", Origin(0, 2))
    assert "l/x" not in visible_paths


def test_only_earlier_links_are_followed_and_only_while_they_are_there() -> None:
    target, link = entry("u", "dir"), entry("l", "symlink", link="u")
    assert set(paths([target, entry("l/x"), link])) == {"u", "l"}
    assert set(paths([target, link, entry("l", "dir"), entry("l/x")])) == {"u", "l", "l/x"}
    assert set(paths([target, link, entry("l"), entry("l/x")])) == {"u", "l", "l/x"}
    nested = [target, entry("d/l", "symlink", link="/u"), entry("d"), entry("d/l/x")]
    assert set(paths(nested)) == {"u", "d", "d/l", "d/l/x"}


def test_whiteouts_below_a_link_of_their_own_layer_delete_where_it_points() -> None:
    lower = [entry("u/x"), entry("u/y")]
    link = entry("l", "symlink", link="u")
    assert set(paths(lower, [link, entry("l/.wh.x")])) == {"u", "u/y", "l"}
    assert set(paths(lower, [link, entry("l/.wh..wh..opq")])) == {"u", "l"}


def test_a_hard_links_target_is_found_through_links_of_its_own_and_of_lower_layers() -> None:
    tree = [entry("u/b", "dir"), entry("l", "symlink", link="u/b"), entry("u/b/x", size=3)]
    assert flatten([[*tree, entry("h", "hardlink", link="l/x")]])["h"].origin == Origin(0, 2)
    assert flatten([tree, [entry("h", "hardlink", link="l/x")]])["h"].origin == Origin(0, 2)
    assert flatten([[*tree, entry("h", "hardlink", link="l")]])["h"].entry.link == "u/b"


@pytest.mark.parametrize("link", ["l", "k/../l", "/".join(["y"] * 3000)])
def test_links_that_lead_nowhere_end_in_an_error(link: str) -> None:
    with pytest.raises(FormatError):
        flatten([[entry("l", "symlink", link=link), entry("l/x/" + "z" * 3000)]])


def test_hard_links_show_the_file_they_lead_to() -> None:
    flattened_entries = flatten(
        [[entry("a", size=3), entry("b", "hardlink", link="a")], [entry("c", "hardlink", link="b")]]
    )
    assert {flattened_entries[path].origin for path in "abc"} == {Origin(0, 0)}
    assert {flattened_entries[path].entry.size for path in "abc"} == {3}


def test_a_hard_link_keeps_a_file_whose_own_path_goes() -> None:
    flattened_entries = flatten([[entry("a", size=3)], [entry(".wh.a"), entry("b", "hardlink", link="a")]])
    assert set(flattened_entries) == {"", "b"}
    assert flattened_entries["b"].entry.size == 3


def test_a_hard_link_leads_to_its_own_layers_file_first() -> None:
    flattened_entries = flatten(
        [[entry("a", size=1)], [entry("a", size=2), entry("b", "hardlink", link="a")]]
    )
    assert flattened_entries["b"].origin == Origin(1, 0)


def test_a_hard_link_may_stand_before_its_target() -> None:
    assert flatten([[entry("b", "hardlink", link="a"), entry("a")]])["b"].origin == Origin(0, 1)


@pytest.mark.parametrize("target", ["missing", "d", "", "b", "d/x/y"])
def test_a_hard_link_to_no_file_of_the_image_is_refused(target: str) -> None:
    layer = [entry("d", "dir"), entry("d/x"), entry("b", "hardlink", link=target)]
    with pytest.raises(FormatError, match="which is not a file of the image"):
        flatten([layer])


@pytest.mark.parametrize(
    "invalid_entry",
    [
        entry("/".join("d" * 300)),
        entry("x" * 5000),
        entry("l", "symlink", link="x" * 5000),
        entry("l", "symlink", link=""),
        entry("l", "symlink", link="a\0b"),
        entry("", "file"),
    ],
)
def test_entries_that_no_tree_can_have_are_refused(invalid_entry: Entry) -> None:
    with pytest.raises(FormatError):
        flatten([[invalid_entry]])


def test_the_walk_has_directories_before_what_is_in_them_and_sorted_names() -> None:
    layer = [entry("b/y"), entry("a"), entry("b-c"), entry("b", "dir"), entry("b/x/z")]
    assert list(flatten([layer])) == ["", "a", "b", "b/x", "b/x/z", "b/y", "b-c"]


# The model: a layer is applied by first finding where its entries are, then deleting, then writing, in
# flat dictionaries of paths. (Opaque marks are generated below a directory only: at the root every path
# is "below".)

_NAMES = st.sampled_from(["a", "b", "c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_TARGETS = st.sampled_from(["/x", "/a", "b", "../c", "a/b", "/b/..", "."])
_ENTRIES = st.one_of(
    _PATHS.map(entry),
    _PATHS.map(lambda path: entry(path, "dir")),
    st.tuples(_PATHS, _TARGETS).map(lambda pair: entry(pair[0], "symlink", link=pair[1])),
    st.tuples(_PATHS, _NAMES).map(lambda pair: entry(f"{pair[0]}/.wh.{pair[1]}")),
    _NAMES.map(lambda name: entry(f".wh.{name}")),
    _PATHS.map(lambda path: entry(f"{path}/.wh..wh..opq")),
)
_LAYERS = st.lists(st.lists(_ENTRIES, max_size=6), max_size=4)

_IMPLIED = ("dir", Origin(-1, -1))


def model(layers: list[list[Entry]]) -> dict[str, tuple[str, Origin]]:
    tree: dict[str, tuple[str, Origin]] = {}
    for number, layer in enumerate(layers):
        resolved_paths = list(placed(layer))
        for resolved_path in resolved_paths:
            delete(tree, resolved_path)
        for position, (resolved_path, item) in enumerate(zip(resolved_paths, layer, strict=True)):
            if ".wh." not in item.path:
                write(tree, resolved_path, item.kind, Origin(number, position))
    return tree


class CircleError(Exception):
    """Links lead in a circle."""


def placed(layer: list[Entry]) -> Iterator[str]:
    links: dict[str, str] = {}
    for item in layer:
        folder, _, name = item.path.rpartition("/")
        path = f"{real(folder, links)}/{name}".lstrip("/")
        yield path
        if ".wh." not in item.path:
            replaced_paths = {path} | {
                link for link in links if link.startswith(path + "/") and item.kind != "dir"
            }
            links = {link: target for link, target in links.items() if link not in replaced_paths}
            if item.kind == "symlink":
                links[path] = item.link


def real(path: str, links: dict[str, str]) -> str:
    for _ in range(50):
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for depth in range(1, len(parts) + 1):
            parent = "/".join(parts[: depth - 1])
            remaining_path = "/".join(parts[depth:])
            if parts[depth - 1] == "..":
                path = f"{parent.rpartition('/')[0]}/{remaining_path}"
                break
            target = links.get("/".join(parts[:depth]))
            if target is not None:
                path = (
                    f"{target}/{remaining_path}"
                    if target[0] == "/"
                    else f"{parent}/{target}/{remaining_path}"
                )
                break
        else:
            return "/".join(parts)
    raise CircleError


def delete(tree: dict[str, tuple[str, Origin]], whiteout: str) -> None:
    folder, _, name = whiteout.rpartition("/")
    if folder and tree.get(folder, ("",))[0] != "dir":
        return
    if name == ".wh..wh..opq":
        drop_below(tree, folder)
    elif name.startswith(".wh."):
        removed_path = f"{folder}/{name[4:]}".lstrip("/")
        drop_below(tree, removed_path)
        tree.pop(removed_path, None)


def drop_below(tree: dict[str, tuple[str, Origin]], folder: str) -> None:
    prefix = f"{folder}/" if folder else ""  # the root itself has no name
    for path in [path for path in tree if path.startswith(prefix)]:
        del tree[path]


def write(tree: dict[str, tuple[str, Origin]], path: str, kind: str, origin: Origin) -> None:
    parts = path.split("/")
    for depth in range(1, len(parts)):
        parent = "/".join(parts[:depth])
        if tree.get(parent, ("",))[0] != "dir":
            tree[parent] = _IMPLIED
    if kind != "dir":
        drop_below(tree, path)
    tree[path] = (kind, origin)


@given(_LAYERS)
def test_flattening_is_what_the_simple_model_says(layers: list[list[Entry]]) -> None:
    try:
        expected = model(layers)
    except CircleError:
        with pytest.raises(FormatError, match="form a loop"):
            flatten(layers)
    else:
        assert paths(*layers) == expected


def flattened(*layers: list[Entry]) -> dict[str, VisibleEntry]:
    try:
        return flatten(layers)
    except FormatError:
        reject()


@given(_LAYERS)
def test_the_result_is_a_tree(layers: list[list[Entry]]) -> None:
    tree = flattened(*layers)
    for path in tree:
        if path:
            assert tree[path.rpartition("/")[0]].entry.kind == "dir"


@given(_LAYERS, st.lists(_ENTRIES, max_size=6))
def test_a_layer_applied_twice_changes_nothing_more(layers: list[list[Entry]], last: list[Entry]) -> None:
    applied_once, applied_twice = flattened(*layers, last), flattened(*layers, last, last)
    assert {path: flattened_entry.entry for path, flattened_entry in applied_once.items()} == {
        path: flattened_entry.entry for path, flattened_entry in applied_twice.items()
    }
