"""Which packages an image leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from pumice.formats.tar import Entry
from pumice.omission import reasons, tables
from pumice.omission.decision import Question, decide
from pumice.omission.model import Decision
from pumice.omission.uses import FileUses, PackageUses
from pumice.packing.segment_writer import SegmentItem
from pumice.packing.segments import Segment
from pumice.packing.tree import PackageFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def segment(
    name: str, depends: str = "", paths: Sequence[str] = (), postinst: bytes = b"", **fields: str
) -> Segment:
    items = tuple(SegmentItem(Entry(path, "file", 0o755, size=1)) for path in paths)
    fields = {"Package": name, "Depends": depends, **fields}
    facts = PackageFacts(
        name=name, version="1", architecture="amd64", fields=fields, files={"postinst": postinst}
    )
    return Segment(
        blob="", size=0, tar_size=0, members=(), items=items, directories=(), parents=(), dropped=(),
        facts=facts, newest=0,
    )  # fmt: skip


class Packages:
    """Segments of a few packages, and what their files use."""

    def __init__(self, *segments: Segment, uses: Mapping[str, Sequence[FileUses]] | None = None) -> None:
        self.segments = {item.facts.name: item for item in segments}
        self.uses = uses or {}
        self.read: list[str] = []

    def decide(self, *named: str, recipe: Sequence[FileUses] = (), **question: object) -> Decision:
        settings = Question(named=named, omittable=tables.find_omittable(self.segments.keys()))
        return decide(
            msgspec.structs.replace(settings, **question),
            self.segments,
            PackageUses(tuple(recipe)),
            self.read_uses,
        )

    def read_uses(self, name: str) -> PackageUses:
        self.read.append(name)
        return PackageUses(tuple(self.uses.get(name, ())))


def row_packages(row: str, uses: Sequence[FileUses] = ()) -> tuple[str, str, Packages]:
    """Return the user and the tool of a row, and packages that reach the tool only through the row."""
    user, _, tool = row.rpartition(tables.SEPARATOR)
    user = user or "app"
    packages = Packages(
        segment(user, f"{tool} (>= 1), base"),
        segment(tool, "libonly", [f"usr/bin/tool-{tool}"]),
        segment("libonly"),
        segment("base"),
        uses={user: uses},
    )
    return user, tool, packages


@pytest.mark.parametrize("row", sorted(tables.reasons()))
def test_a_row_leaves_its_package_out_where_nothing_uses_it(row: str) -> None:
    user, tool, packages = row_packages(row)
    decision = packages.decide(user)
    assert decision.names == {tool, "libonly"}
    assert tool not in packages.read, "the files of a package that is left out are never read"


@pytest.mark.parametrize("row", sorted(tables.reasons()))
def test_a_row_keeps_its_package_where_a_program_runs_it(row: str) -> None:
    name = row.rpartition(tables.SEPARATOR)[2]
    user, tool, packages = row_packages(row, [FileUses("usr/bin/app", programs=(f"usr/bin/tool-{name}",))])
    decision = packages.decide(user)
    assert decision.omitted == ()
    assert [(use.package, use.user, use.thing) for use in decision.kept] == [
        (tool, user, f"/usr/bin/tool-{tool}")
    ]


@pytest.mark.parametrize("row", sorted(tables.reasons()))
def test_a_row_keeps_its_package_where_the_recipe_names_it(row: str) -> None:
    user, tool, packages = row_packages(row)
    assert packages.decide(user, tool).omitted == ()


def test_files_are_read_only_until_all_packages_stay() -> None:
    packages = Packages(segment("tool", "debconf"), segment("debconf"), segment("data"))
    assert packages.decide("data", "debconf", "tool") == Decision()
    assert packages.read == []
    assert [item.name for item in packages.decide("data", "tool").omitted] == ["debconf"]
    assert sorted(packages.read) == ["data", "tool"]


def test_a_row_about_one_dependency_says_nothing_about_another() -> None:
    packages = Packages(
        segment("nginx-common", "iproute2"), segment("router", "iproute2"), segment("iproute2")
    )
    assert packages.decide("nginx-common").names == {"iproute2", "router"}
    assert packages.decide("nginx-common", "router").names == frozenset()


def test_tools_do_not_keep_each_other() -> None:
    runs = {
        "debianutils": [FileUses("usr/bin/savelog", programs=("usr/bin/dpkg",))],
        "dpkg": [FileUses("usr/bin/dpkg", programs=("usr/bin/tar", "usr/bin/which"))],
    }
    packages = Packages(
        segment("app", "debianutils, dpkg"),
        segment("debianutils", "dpkg", ["usr/bin/which"]),
        segment("dpkg", "tar", ["usr/bin/dpkg"]),
        segment("tar", "", ["usr/bin/tar"]),
        uses=runs,
    )
    assert packages.decide("app").names == {"debianutils", "dpkg", "tar"}
    recipe = [FileUses("", programs=("which",))]
    assert packages.decide("app", recipe=recipe).omitted == (), "each joins by evidence of one that is in"


def test_a_library_that_a_file_loads_keeps_its_package() -> None:
    packages = Packages(
        segment("app", "passwd"),
        segment("passwd", "libsemanage2"),
        segment("libsemanage2", "", ["usr/lib/libsemanage.so.2"]),
        uses={"app": [FileUses("usr/bin/app", libraries=("libsemanage.so.2",))]},
    )
    assert packages.decide("app").names == {"passwd"}


def test_a_script_counts_only_where_something_starts_it() -> None:
    def names(path: str, *others: FileUses) -> frozenset[str]:
        script = FileUses(path, interpreter="usr/bin/perl", is_script=True)
        packages = Packages(
            segment("app", "perl-base"),
            segment("perl-base", "", ["usr/bin/perl"]),
            uses={"app": [script, *others]},
        )
        return packages.decide("app").names

    assert names("usr/bin/tool") == frozenset()
    assert names("usr/lib/git-core/git-x") == frozenset()
    assert names("usr/share/app/helper") == {"perl-base"}
    assert names("usr/share/app/helper", FileUses("usr/bin/x", link="usr/share/app/helper")) == frozenset()
    starts = FileUses(
        "usr/bin/y", interpreter="usr/bin/sh", programs=("usr/share/app/helper",), is_script=True
    )
    assert names("usr/share/app/helper", starts) == frozenset()


def test_files_that_do_not_count_are_named() -> None:
    script = FileUses("usr/share/app/helper", interpreter="usr/bin/perl", is_script=True)
    packages = Packages(
        segment("app", "perl-base"), segment("perl-base", "", ["usr/bin/perl"]), uses={"app": [script]}
    )
    (omitted,) = packages.decide("app").omitted
    assert [(use.file, use.thing) for use in omitted.unused_by] == [("usr/share/app/helper", "/usr/bin/perl")]
    assert omitted.needed_by == ("app",)


def test_a_perl_script_keeps_the_modules_that_its_package_depends_on() -> None:
    packages = Packages(
        segment("app", "perl"),
        segment("perl", "perl-base, perl-modules-5.36"),
        segment("perl-base", "", ["usr/bin/perl"]),
        segment("perl-modules-5.36"),
        uses={"app": [FileUses("usr/bin/app", interpreter="usr/bin/perl", is_script=True)]},
    )
    assert packages.decide("app").omitted == ()


def test_the_link_of_an_alternative_is_a_program() -> None:
    packages = Packages(
        segment("app", "mawk"),
        segment(
            "mawk", "", ["usr/bin/mawk"], b"update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5"
        ),
        uses={"app": [FileUses("usr/bin/app", interpreter="usr/bin/sh", programs=("awk",), is_script=True)]},
    )
    assert packages.decide("app").omitted == ()


def test_base_essential_keeps_essential_packages() -> None:
    packages = Packages(segment("app", "dpkg"), segment("dpkg", "tar", Essential="yes"), segment("tar"))
    assert packages.decide("app").names == {"dpkg", "tar"}
    assert packages.decide("app", essential=True, omittable=()).omitted == ()


def test_a_lock_without_rows_keeps_everything() -> None:
    packages = Packages(segment("app", "dpkg"), segment("dpkg"))
    assert packages.decide("app", omittable=()).omitted == ()


def test_a_package_that_the_recipe_gives_up_goes_although_files_use_it() -> None:
    script = FileUses("usr/bin/app-top", interpreter="usr/bin/perl", is_script=True)
    packages = Packages(
        segment("app", "perl"),
        segment("perl", "libperl5.36"),
        segment("libperl5.36", "", ["usr/bin/perl"]),
        uses={"app": [script]},
    )
    decision = packages.decide("app", without=("perl", "libperl5.36"))
    assert [(item.name, item.by_recipe) for item in decision.omitted] == [
        ("libperl5.36", True),
        ("perl", True),
    ]
    assert [use.file for use in decision.omitted[0].unused_by] == ["usr/bin/app-top"]


def test_a_path_that_says_how_a_program_was_built_does_not_count() -> None:
    packages = Packages(
        segment("postgresql-15", "tar"),
        segment("tar", "", ["usr/bin/tar"]),
        uses={"postgresql-15": [FileUses("usr/lib/postgresql/15/bin/postgres", programs=("usr/bin/tar",))]},
    )
    assert packages.decide("postgresql-15").names == {"tar"}


@pytest.mark.parametrize(
    ("user", "tool"),
    [
        ("r-base-core", "debianutils"),
        ("r-base-core", "tar"),
        ("libperl5.40", "perl-base"),
        ("perl-modules-5.36", "perl-base"),
        ("dpkg-dev", "dpkg"),
        ("dpkg-dev", "tar"),
        ("dpkg-dev", "perl"),
        ("debhelper", "dpkg"),
        ("debhelper", "po-debconf"),
        ("debhelper", "perl"),
        ("samba-common", "passwd"),
    ],
)
def test_a_use_that_no_file_shows_keeps_its_package_where_the_user_stays(user: str, tool: str) -> None:
    assert tool in [row[0] for row in tables.hidden_uses(user)]
    packages = Packages(
        segment("app", f"adduser, {tool}"), segment("adduser", user), segment(user), segment(tool)
    )
    assert packages.decide("app").names == {"adduser", user, tool}, "the user of the tool is not in"
    decision = packages.decide("app", user)
    assert decision.names == {"adduser"}
    (use,) = decision.kept
    assert reasons.describe_use(use).startswith(f"{user} uses it: ")


def test_a_helper_counts_only_where_something_starts_it() -> None:
    rehash = FileUses(
        "usr/sbin/update-certs", interpreter="usr/bin/sh", programs=("openssl",), is_script=True
    )
    packages = Packages(
        segment("certs", "openssl", ["usr/sbin/update-certs"]),
        segment("openssl", "", ["usr/bin/openssl"]),
        uses={"certs": [rehash]},
    )
    assert packages.decide("certs").names == {"openssl"}
    for program in ("update-certs", "usr/sbin/update-certs"):
        command = FileUses("", programs=(program,))
        assert packages.decide("certs", recipe=[command]).omitted == ()
