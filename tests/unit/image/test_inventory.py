from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.image import inventory
from pumice.image.model import Image
from pumice.store.home import Home
from tests.support import handmade
from tests.support.handmade import STATUS, ImageContents, Item, MemoryBlobs, file, folder, hardlink, symlink

BLANK = "install ok installed"


def gather(*layers: list[Item]) -> inventory.Inventory:
    return inventory.read_inventory(handmade.image(ImageContents(layers)))


def owners(facts: inventory.Inventory) -> dict[str, str]:
    return {file.path: file.package for file in facts.files if file.package and "dpkg" not in file.path}


def database(name: str, *paths: str, version: str = "1", suffix: str = "") -> list[Item]:
    lines = "".join(f"/{path}\n" for path in (".", *paths))
    return [
        file("var/lib/dpkg/status", STATUS.format(name=name, version=version).encode()),
        file(f"var/lib/dpkg/info/{name}{suffix}.list", lines.encode()),
    ]


def test_packages_versions_sources_and_sizes_come_from_the_images_own_database() -> None:
    facts = inventory.read_inventory(handmade.image(handmade.small()))
    tool = next(package for package in facts.packages if package.name == "tool")
    assert (tool.version, tool.architecture, tool.source) == ("1.0-1", "amd64", "tool-src")
    assert (tool.files, tool.size) == (5, 2002 + 100 + 46)
    assert [package.name for package in facts.packages] == ["etc", "tool"]


def test_a_database_below_a_link_of_its_layer_is_found() -> None:
    rows = [
        folder("usr/lib"),
        symlink("lib", "usr/lib"),
        file("lib/os-release", b'PRETTY_NAME="A"\n'),
        folder("var"),
        symlink("v", "/var"),
        file("v/lib/dpkg/status", STATUS.format(name="tool", version="2").encode()),
    ]
    facts = gather(rows)
    assert (facts.release, [package.name for package in facts.packages]) == ("A", ["tool"])


def test_files_say_which_layer_and_package_they_are_from() -> None:
    files = {file.path: file for file in inventory.read_inventory(handmade.image(handmade.small())).files}
    assert (files["bin/tool"].layer, files["bin/tool"].package) == (1, "tool")
    assert (files["app/hello"].layer, files["app/hello"].package) == (2, "")
    assert "etc/old" not in files
    assert files["bin/sh"].link == "tool"


def test_hard_links_are_counted_once() -> None:
    facts = inventory.read_inventory(handmade.image(handmade.small()))
    sizes = {file.path: file.size for file in facts.files}
    assert (sizes["bin/tool"], sizes["bin/tool-2"]) == (2002, 0)
    assert facts.size == sum(sizes.values())


def test_lists_with_the_packages_own_paths_fit_a_merged_usr() -> None:
    facts = gather(
        [
            symlink("lib", "usr/lib"),
            folder("usr/lib"),
            file("usr/lib/libc.so"),
            symlink("bin", "/usr/bin"),
            file("usr/bin/x"),
            *database("libc6", "lib/libc.so", "bin/x", "lib", suffix=":amd64"),
        ]
    )
    # The link that merges is in the list as the directory that it stands for, and nobody's.
    assert owners(facts) == {"usr/lib/libc.so": "libc6", "usr/bin/x": "libc6"}


def test_links_in_circles_and_lists_of_nothing_are_no_trouble() -> None:
    facts = gather([symlink("a", "b"), symlink("b", "a"), *database("x", "a/b", "../../etc", "", "gone/x")])
    assert owners(facts) == {}


def test_packages_that_were_removed_do_not_count() -> None:
    text = STATUS.format(name="gone", version="1").replace(BLANK, "deinstall ok config-files")
    assert gather([file("var/lib/dpkg/status", text.encode())]).packages == ()


def test_the_database_of_the_last_layer_counts() -> None:
    facts = gather(database("a", "x", version="1"), database("a", "x", version="2"))
    assert [package.version for package in facts.packages] == ["2"]


def test_distroless_databases_are_read() -> None:
    stanza = b"Package: base\nVersion: 12\nArchitecture: all\n"
    facts = gather(
        [
            file("etc/x"),
            file("var/lib/dpkg/status.d/base", stanza),
            file("var/lib/dpkg/status.d/base.md5sums", b"0" * 32 + b"  etc/x\n"),
        ]
    )
    assert [(package.name, package.files) for package in facts.packages] == [("base", 1)]
    assert owners(facts) == {"etc/x": "base"}


def test_users_and_release() -> None:
    facts = gather(
        [
            file("etc/passwd", b"root:x:0:0::/:/bin/sh\nbroken\nbad:x:-1:\n"),
            symlink("etc/os-release", "../usr/lib/os-release"),
            file("usr/lib/os-release", b'NAME=x\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'),
        ]
    )
    assert facts.users == (inventory.User("root", 0),)
    assert facts.release == "Debian GNU/Linux 12 (bookworm)"


def test_a_database_that_is_none_is_said_with_its_place() -> None:
    with pytest.raises(FormatError) as caught:
        gather([file("var/lib/dpkg/status", b"Package: x\n")])
    assert str(caught.value) == "var/lib/dpkg/status: a package of the image has no name or no version"


def test_a_link_in_place_of_the_database_leads_nowhere() -> None:
    assert gather([symlink("var/lib/dpkg/status", "/etc/passwd")]).packages == ()
    assert gather([file("x", b"Package: x\n"), hardlink("var/lib/dpkg/status", "x")]).packages == ()


def test_the_second_look_reads_no_layer(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    image = handmade.image(handmade.small(), blobs)
    with Home(tmp_path) as home:
        first = inventory.read_inventory(image, home.records)
        for layer in image.manifest().layers:
            del blobs.content[layer.digest]
        assert inventory.read_inventory(Image(image.root, blobs), home.records) == first


def test_names_that_are_not_utf_8_are_no_trouble(tmp_path: Path) -> None:
    image = handmade.image(ImageContents([[file(b"caf\xe9".decode("utf-8", "surrogateescape"))]]))
    with Home(tmp_path) as home:
        assert inventory.read_inventory(image, home.records) == inventory.read_inventory(image, home.records)


@given(st.binary(max_size=100), st.binary(max_size=100), st.binary(max_size=50))
def test_any_database_gives_facts_or_a_pumice_error(status: bytes, file_list: bytes, passwd: bytes) -> None:
    layer = [
        file("var/lib/dpkg/status", status),
        file("var/lib/dpkg/info/x.list", file_list),
        file("var/lib/dpkg/status.d/x.md5sums", file_list),
        file("etc/passwd", passwd),
        file("etc/os-release", passwd),
    ]
    try:
        inventory.read_inventory(handmade.image(ImageContents([layer], compression="plain")))
    except PumiceError:
        pass
