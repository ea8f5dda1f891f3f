"""Images of anybody: what their layers say, whatever they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumice.errors import PumiceError
from pumice.evidence import comparison, cyclonedx_document, image_facts, spdx_document
from pumice.evidence.facts import Facts
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images

RELEASE = "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nPRETTY_NAME='Debian 12'\n"
STATUS = """Package: tool
Status: install ok installed
Version: 1:1.0-1
Architecture: amd64
Source: suite (2.0)
Maintainer: Jane <jane@example.com>
Depends: missing | libtool-one (>= 1), virtual

Package: libtool-one
Status: install ok installed
Version: 1
Architecture: all
Provides: virtual (= 1)

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all
"""
APK = "P:musl\nV:1.2\nA:x86_64\nL:MIT\no:musl-src\np:so:libc=1\nF:lib\nR:libc.so\n\n"
APK += "P:box\nV:2\nD:so:libc\nL:GPL-2.0-only\n"


def facts(tmp_path: Path, *layers: images.Layer) -> Facts:
    return image_facts.gather_facts(images.make(Home(tmp_path / "store"), layers), name="foreign")


def test_dpkg_state_is_read_from_the_layers(tmp_path: Path) -> None:
    found = facts(
        tmp_path,
        {
            "usr/lib/os-release": RELEASE,
            "var/lib/dpkg/status": STATUS,
            "var/lib/dpkg/info/tool.list": "/.\n/usr\n/usr/bin\n/usr/bin/tool\n",
            "usr/bin/tool": b"tool",
            "usr/share/doc/tool": Entry("usr/share/doc/tool", "symlink", 0o777, link="libtool-one"),
            "usr/share/doc/libtool-one/copyright": "see /usr/share/common-licenses/GPL-2",
        },
        {"srv/own": "own"},
    )
    tool, one = (
        next(package for package in found.packages if package.name == name)
        for name in ("tool", "libtool-one")
    )
    assert len(found.packages) == 2
    assert (tool.source, tool.source_version, tool.needs) == ("suite", "2.0", ("libtool-one",))
    assert tool.license == one.license == "GPL-2.0-only"
    owners = {file.path: file.package for file in found.files}
    assert found.packages[owners["usr/bin/tool"]].name == "tool"
    assert owners["srv/own"] == -1
    assert (found.system.version, found.system.codename, found.complete) == ("12", "bookworm", False)


def test_apk_state_is_read_from_the_layers(tmp_path: Path) -> None:
    found = facts(
        tmp_path, {"lib/apk/db/installed": APK, "lib/libc.so": "x", "etc/os-release": "ID=alpine\n"}
    )
    box, musl = found.packages
    assert (box.needs, musl.source, musl.license) == (("musl",), "musl-src", "MIT")
    document = json.loads(spdx_document.format_spdx(found))
    urls = [
        one["referenceLocator"] for package in document["packages"] for one in package.get("externalRefs", ())
    ]
    assert "pkg:apk/alpine/musl@1.2?arch=x86_64&distro=alpine&upstream=musl-src" in urls


def test_names_that_are_not_utf_8_are_shown(tmp_path: Path) -> None:
    found = facts(tmp_path, {"odd\udcff": "x"})
    assert [file.path for file in found.files] == ["odd\\xff"]
    spdx_document.format_spdx(found)
    cyclonedx_document.format_cyclonedx(found)


def test_an_image_with_nothing_in_it(tmp_path: Path) -> None:
    found = facts(tmp_path, {})
    assert (found.packages, found.files) == ((), ())
    assert json.loads(spdx_document.format_spdx(found))["creationInfo"]["created"].endswith("Z")


_text = st.text(st.characters(codec="utf-8"), max_size=120) | st.sampled_from([STATUS, APK, RELEASE])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            (
                "var/lib/dpkg/status",
                "var/lib/dpkg/info/tool.list",
                "lib/apk/db/installed",
                "etc/os-release",
                "usr/share/doc/tool/copyright",
                "var/lib/dpkg/status.d/tool",
            ),
            _text,
        ),
    )
)
def test_any_database_gives_documents_or_an_error(tmp_path: Path, files: dict[str, str]) -> None:
    try:
        found = facts(tmp_path, dict(files))
    except PumiceError:
        return
    json.loads(spdx_document.format_spdx(found))
    json.loads(cyclonedx_document.format_cyclonedx(found))


@pytest.mark.parametrize("semantic", [False, True])
def test_a_later_layer_that_hides_a_file_is_a_difference(tmp_path: Path, semantic: bool) -> None:
    home = Home(tmp_path / "store")
    one = images.make(home, [{"a": "a", "b": "b"}])
    two = images.make(home, [{"a": "a", "b": "b"}, {".wh.b": ""}])
    found = comparison.compare_images(one, two, semantic=semantic)
    assert not found.same
    assert [change.name for change in found.files] == ["/b"]
    assert found.pull > 0
