"""Rendering: what an image with dependencies and whitelists looks like in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.image.aci_rendering import RenderedAci, render
from pumice.image.flatten import Origin
from pumice.image.rootfs import merge_layers
from pumice.progress import Silent
from tests.support import aci
from tests.support.handmade import Item, file, folder, hardlink, symlink


def build(tmp_path: Path, images: dict[str, tuple[str, list[Item], list[str]]]) -> RenderedAci:
    """Render the first of images, each with its dependencies, its entries and its whitelist."""
    for name, (dependencies, items, whitelist) in images.items():
        aci.image(
            tmp_path / f"{name}.aci",
            [folder(""), *items],
            name=f"example.com/{name}",
            dependencies=[{"imageName": f"example.com/{each}"} for each in dependencies.split()],
            pathWhitelist=whitelist,
        )
    first, *others = [tmp_path / f"{name}.aci" for name in images]
    return render(first, others, Silent())


def tree(rendered: RenderedAci) -> dict[str, str]:
    """Return the content of each file, the target of each link, and the mode of each directory."""
    layers = rendered.image.layers()
    visible_entries = merge_layers(layers)
    contents = {
        Origin(number, position): body.read()
        for number, layer in enumerate(layers)
        for position, (_, body) in enumerate(layer.entries())
    }
    result = {}
    for path, (entry, origin) in visible_entries.items():
        text = f"{entry.mode:o} {entry.uid}" if entry.kind == "dir" else entry.link
        result[path] = contents[origin].decode() if entry.kind == "file" else text
    del result[""]
    return result


def test_later_images_replace_files_of_earlier_ones(tmp_path: Path) -> None:
    rendered = build(
        tmp_path,
        {
            "a": ("b c", [file("x", b"a"), file("only-a", b"a")], []),
            "b": ("", [file("x", b"b"), file("y", b"b"), file("only-b", b"b")], []),
            "c": ("d", [file("y", b"c")], []),
            "d": ("", [file("y", b"d"), file("only-d", b"d")], []),
        },
    )
    assert tree(rendered) == {"x": "a", "y": "c", "only-a": "a", "only-b": "b", "only-d": "d"}


def test_a_link_to_a_directory_is_replaced_and_not_followed(tmp_path: Path) -> None:
    rendered = build(
        tmp_path,
        {
            "a": ("b", [folder("lib", 0o711), file("lib/x", b"a")], []),
            "b": ("", [folder("usr"), file("usr/x", b"b"), symlink("lib", "usr")], []),
        },
    )
    assert tree(rendered) == {"lib": "711 0", "lib/x": "a", "usr": "755 0", "usr/x": "b"}


def test_a_file_replaces_a_directory_and_the_reverse(tmp_path: Path) -> None:
    rendered = build(
        tmp_path,
        {
            "a": ("b", [file("d", b"a"), folder("f"), file("f/x", b"a")], []),
            "b": ("", [folder("d"), file("d/x", b"b"), file("f", b"b")], []),
        },
    )
    assert tree(rendered) == {"d": "a", "f": "755 0", "f/x": "a"}


def test_a_whitelist_keeps_the_mode_and_owner_of_directories_above(tmp_path: Path) -> None:
    items = [folder("opt", 0o750, uid=7), folder("opt/x", 0o700), file("opt/x/a", b"b"), file("opt/b", b"b")]
    rendered = build(tmp_path, {"a": ("b", [], ["/opt/x/a"]), "b": ("", items, [])})
    assert tree(rendered) == {"opt": "750 7", "opt/x": "700 0", "opt/x/a": "b"}


def test_a_hard_link_stays_although_its_target_does_not(tmp_path: Path) -> None:
    items = [file("a", b"x"), hardlink("b", "a"), hardlink("c", "b"), file("z", b"z")]
    rendered = build(tmp_path, {"top": ("base", [], ["/b", "/c"]), "base": ("", items, [])})
    assert tree(rendered) == {"b": "x", "c": "x"}
    entries = merge_layers(rendered.image.layers())
    assert entries["b"].origin == entries["c"].origin


def test_whitelists_apply_below_their_own_image_only(tmp_path: Path) -> None:
    rendered = build(
        tmp_path,
        {
            "a": ("b c", [file("of-a", b"a")], []),
            "b": ("", [file("of-b", b"b")], []),
            "c": ("d", [file("of-c", b"c"), file("other", b"c")], ["/of-c", "/of-d"]),
            "d": ("", [file("of-d", b"d"), file("other", b"d")], []),
        },
    )
    assert tree(rendered) == {"of-a": "a", "of-b": "b", "of-c": "c", "of-d": "d"}


def test_a_shared_dependency_is_unpacked_for_each_of_its_parents(tmp_path: Path) -> None:
    rendered = build(
        tmp_path,
        {
            "a": ("b c", [], []),
            "b": ("d", [file("x", b"b")], []),
            "c": ("d", [file("y", b"c")], []),
            "d": ("", [file("x", b"d"), file("y", b"d")], []),
        },
    )
    assert tree(rendered) == {"x": "d", "y": "c"}  # d comes again after b
    assert len(rendered.image_ids) == 5


@pytest.mark.parametrize("whitelist", [["/nothing"], ["/"]])
def test_a_whitelist_of_nothing_leaves_the_root(tmp_path: Path, whitelist: list[str]) -> None:
    rendered = build(tmp_path, {"a": ("", [file("x", b"a")], whitelist)})
    assert tree(rendered) == {}


def test_rendering_is_reproducible_and_needs_no_dependencies_any_more(tmp_path: Path) -> None:
    images = {"a": ("b", [file("x", b"a")], ["/x", "/y"]), "b": ("", [file("y", b"b")], [])}
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    first, second = (build(tmp_path / name, images) for name in ("1", "2"))
    assert first.image.root.digest == second.image.root.digest
    assert first.name == "example.com/a"
