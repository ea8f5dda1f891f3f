"""Nothing but the lock, the recipe and its files decides an image: laws on synthetic archives."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumice.assembly.context import BuildContext
from pumice.assembly.segment_cutter import SegmentRequest, cut_segments
from pumice.packing.selection import Selection
from pumice.progress import Silent
from pumice.store.home import Home
from tests.support.deb import Deb, Item, hardlink, symlink, text
from tests.support.sampling import is_soak
from tests.support.variations import build, lock_of, shuffled_folders

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.recipe.lock import LockedPackage

EXAMPLES = 1000 if is_soak() else 20

_SHARED = (
    *("usr/share/man", "usr/share/man/man1", "usr/share/doc/shared", "usr/share/info", "usr/share/locale/de"),
    *("usr/share/doc/shared/table", "usr/share/man/man1/page.1", "usr/share/doc", "usr/lib/common"),
)
_FILES = (
    *("usr/share/man/man1/page.1", "usr/share/doc/shared/table", "usr/share/doc/shared/deep/er"),
    *("usr/share/info/x.info", "usr/share/locale/de/x.mo", "usr/lib/common/x", "etc/common"),
)


@st.composite
def _packages(draw: st.DrawFn) -> list[Deb]:
    packages = []
    for name in draw(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=6, unique=True)):
        items: dict[str, Item] = {}
        for path in draw(
            st.lists(st.sampled_from((*_FILES, f"usr/lib/{name}/x", f"usr/share/doc/{name}/y")))
        ):
            items[path] = text(path, draw(st.sampled_from(("same", name))))
        for number, target in enumerate(draw(st.lists(st.sampled_from((*_SHARED, *_FILES)), max_size=3))):
            path = f"usr/lib/link-{name}{number}"
            is_hard = target in items and draw(st.booleans())
            items[path] = hardlink(path, target) if is_hard else symlink(path, f"/{target}")
        others = "".join(draw(st.sets(st.sampled_from("abcdefgh"))))
        packages.append(
            Deb(
                f"p{name}",
                fields={"Replaces": ", ".join(f"p{other}" for other in sorted(others))} if others else {},
                files=list(items.values()),
                control_files={"postinst": f"#!/bin/sh\nmkdir -p /var/lib/{draw(st.sampled_from('xyz'))}\n"},
                compression="none",
                parents=draw(st.sampled_from((True, True, False))),
            )
        )
    return packages


_EXTRAS = st.sampled_from(
    (
        *("", "layers: single\n", "layers: packages\n", "include: [man]\n"),
        "files: [{text: mine, to: /etc/common}]\n",
        "files: [{text: other, to: /etc/common}]\n",
        *(
            f"files: [{{text: 'd /run/{name} 0750 1 2 -', to: /usr/lib/tmpfiles.d/own.conf}}]\n"
            for name in "ab"
        ),
        "files: [{text: x, to: /etc/machine-id}, {text: '/usr/own\n', to: /etc/ld.so.conf}]\n",
        "files: [{text: mine, to: /usr/lib/common/x}]\nlayers: packages\n",
    )
)


@pytest.mark.sampled
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(_packages(), _EXTRAS, st.sampled_from((1, 2)), st.data())
def test_neither_the_store_nor_the_number_of_workers_changes_an_image(
    packages: list[Deb], extra: str, lock_format: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = Path(folder, "cold"), Path(folder, "warm")
        expected = build(cold, packages, extra, lock_format=lock_format, processors=1, seed=0)
        for before in data.draw(
            st.lists(st.lists(st.sampled_from(packages), unique_by=lambda package: package.name), max_size=3)
        ):
            other = data.draw(st.sampled_from((lock_format, 1, 2)))
            build(warm, before, data.draw(_EXTRAS), lock_format=other, processors=2, seed=1)
        workers = data.draw(st.integers(1, 4))
        assert build(warm, packages, extra, lock_format=lock_format, processors=workers, seed=2) == expected
        assert build(warm, packages, extra, lock_format=lock_format, processors=1, seed=3) == expected


def test_segments_are_in_the_order_of_the_requests(tmp_path: Path) -> None:
    packages = [Deb(name, files=[text(f"usr/{name}", name)]) for name in ("pa", "pb", "pc", "pd")]
    by_name = {package.name: package for package in packages}
    wanted = [SegmentRequest(package, Selection()) for package in lock_of(packages, 2).packages["amd64"]]
    last = threading.Event()
    with Home(tmp_path / "store") as home:

        def fetch(package: LockedPackage) -> Digest:
            with home.blobs.writer() as writer:
                writer.write(by_name[package.name].build())
                digest = writer.commit()
            if package.name == "pd":
                last.set()
            if package.name == "pa":
                assert last.wait(60), "the first comes after the last"
            return digest

        def context(processors: int) -> BuildContext:
            return BuildContext(home=home, fetch_package=fetch, processors=processors, progress=Silent())

        cut_segments(wanted[1:2], context(1))
        for processors in (1, 4):
            last.clear()
            segments = cut_segments(wanted, context(processors))
            assert list(segments) == ["pa", "pb", "pc", "pd"]
        assert list(cut_segments(wanted[::-1], context(2))) == ["pd", "pc", "pb", "pa"]


def test_the_order_of_directory_entries_does_not_change_recipe_files(tmp_path: Path) -> None:
    app = tmp_path / "project/app"
    for name in ("z", "b", "a/y", "a/x", "deep/er/one", "deep/er/two"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(name)
    extra = "files:\n  - {from: app, to: /app}\n  - {from: 'app/**/*', to: /globbed}\n"
    results = {
        build(tmp_path / f"store{seed}", [], extra, lock_format=2, processors=1, seed=seed)
        for seed in range(4)
    }
    assert len(results) == 1
    assert not any("Error" in one for one in results.pop())


def test_directories_are_shuffled(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / str(number)).touch()
    with shuffled_folders(1):
        assert os.listdir(tmp_path) != os.listdir(tmp_path)  # noqa: PTH208 - what is replaced
