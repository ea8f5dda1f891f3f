"""``pumice slice draft``: definitions from the files of packages, and what they leave out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support.archive import Deb, Item, Suite, folder, publish, symlink, text
from tests.support.objects import program, shared_object
from tests.support.slices import list_problems, release_file, write_release

LIB = "usr/lib/x86_64-linux-gnu"


def deb(name: str, files: list[Item], depends: str = "") -> Deb:
    documentation = [
        text(f"usr/share/doc/{name}/copyright", "free\n"),
        text(f"usr/share/doc/{name}/README", ""),
    ]
    return Deb(
        name, "1:2.3.4-5", fields={"Depends": depends} if depends else {}, files=[*files, *documentation]
    )


PACKAGES = [
    deb("libc6", [Item(f"{LIB}/libc.so.6", shared_object("libc.so.6"))]),
    deb(
        "libsmall2",
        [
            Item(f"{LIB}/libsmall.so.2.3.4", program(["libc.so.6"], soname="libsmall.so.2", interpreter="")),
            symlink(f"{LIB}/libsmall.so.2", "libsmall.so.2.3.4"),
            Item(f"{LIB}/engines-3/extra.so", program(["libsmall.so.2"], soname="extra.so", interpreter="")),
            symlink(f"{LIB}/libsmall.so", "libsmall.so.2"),
            text(f"{LIB}/pkgconfig/small.pc", ""),
        ],
        "libc6",
    ),
    deb("python3", [Item("usr/bin/python3", program(["libc.so.6"]))], "libc6"),
    deb(
        "python3-module", [text("usr/lib/python3/dist-packages/module/__init__.py", "import os\n")], "python3"
    ),
    deb(
        "python3-user",
        [
            text("usr/lib/python3/dist-packages/user.py", "import module\n"),
            text("usr/lib/python3/dist-packages/user-2.3.4.egg-info", ""),
        ],
        "python3, python3-module",
    ),
    deb("adduser", [text("usr/sbin/adduser", "#!/bin/sh\n", mode=0o755)]),
    deb("tool-data", [text("usr/share/tool-data/a", "a"), text("usr/share/tool-data/b", "b")]),
    deb(
        "tool",
        [
            Item("usr/bin/tool", program(["libsmall.so.2", "libown.so"]), mode=0o755),
            symlink("usr/bin/other", "tool"),
            text("usr/bin/helper", "#!/usr/bin/python3\nimport user\n", mode=0o755),
            Item("usr/lib/tool/libown.so", shared_object("libown.so")),
            Item("usr/lib/tool/plugin.so", program(["libc.so.6"], soname="plugin.so", interpreter="")),
            text("etc/tool/tool.conf", "data = /usr/share/tool-data/a\n"),
            text("etc/cron.d/tool", "@daily root tool\n"),
            text("lib/systemd/system/tool.service", "[Service]\nExecStart=/usr/bin/tool\n"),
            folder("var/lib/tool", 0o750),
            text("usr/share/locale/de/LC_MESSAGES/tool.mo", "x"),
            text("usr/share/man/man1/tool.1", "x"),
        ],
        "libc6, libsmall2, tool-data, adduser, python3-user",
    ),
]
DEFINITION = """\
package: tool
slices:
  services:
    essential: [tool_bins]
    contents: [/lib/systemd/system/tool.service]
"""


@pytest.fixture(autouse=True)
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    publish(tmp_path / "mirror", Suite("bookworm", packages=PACKAGES))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    return write_release(tmp_path / "release", {}, release_file("v3"))


def draft(*arguments: str, code: int = 0) -> None:
    command = [
        "slice",
        "draft",
        "--release",
        "./release",
        "--mirror",
        f"file:{Path.cwd()}/mirror",
        *arguments,
    ]
    assert main([*command, "-q"]) == code


def definitions(capsys: pytest.CaptureFixture[str], *names: str) -> dict[str, str]:
    capsys.readouterr()
    draft(*names)
    documents = capsys.readouterr().out.split("---\n")
    return {document.partition("package: ")[2].split()[0]: document for document in documents}


def test_slices_follow_what_files_are_and_use(capsys: pytest.CaptureFixture[str]) -> None:
    drafted = definitions(capsys, "tool")
    assert list(drafted) == [
        "libc6",
        "libsmall2",
        "python3",
        "python3-module",
        "python3-user",
        "tool",
        "tool-data",
    ]
    assert (
        drafted["tool"].partition("package: ")[2]
        == """\
tool

essential:
  tool_copyright:

slices:
  bins:
    hint: Programs
    essential:
      libsmall2_libs:
      tool_config:
      tool_data:
      tool_libs:
      tool_modules:
    contents:
      /usr/bin/other:
      /usr/bin/tool:

  python-scripts:
    essential:
      python3-user_libs:
      python3_bins:
      tool_config:
      tool_data:
      tool_libs:
    contents:
      /usr/bin/helper:

  services:
    hint: Units of systemd
    essential:
      tool_bins:
    contents:
      /lib/systemd/system/tool.service:

  modules:
    hint: Modules that programs load
    essential:
      libc6_libs:
    contents:
      /usr/lib/tool/plugin.so:

  libs:
    hint: Libraries
    contents:
      /usr/lib/tool/libown.so:

  data:
    hint: Data
    contents:
      /var/lib/tool/:

  config:
    hint: Configuration
    essential:
      tool-data_data:
    contents:
      /etc/tool/tool.conf:

  copyright:
    contents:
      /usr/share/doc/tool/copyright:
"""
    )


def test_libraries_are_patterns_without_versions_and_plugins_are_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    drafted = definitions(capsys, "libsmall2")
    assert "/usr/lib/*-linux-*/libsmall.so.*:" in drafted["libsmall2"]
    assert "/usr/lib/*-linux-*/engines-3/extra.so:" in drafted["libsmall2"]
    assert "2.3.4" not in drafted["libsmall2"]


def test_modules_require_what_they_import(capsys: pytest.CaptureFixture[str]) -> None:
    drafted = definitions(capsys, "python3-user")
    assert "      python3-module_libs:\n" in drafted["python3-user"]
    assert "user-*.egg-info" in drafted["python3-user"]


def test_everything_left_out_is_listed_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    draft("tool", "--json")
    tool = next(item for item in json.loads(capsys.readouterr().out) if item["package"] == "tool")
    assert {item["path"]: item["reason"] for item in tool["left_out"]} == {
        "/etc/cron.d/tool": "settings of other programs",
        "/usr/share/doc/tool/README": "documentation",
        "/usr/share/locale/de/LC_MESSAGES/tool.mo": "translations",
        "/usr/share/man/man1/tool.1": "documentation",
    }
    assert any("the dependency adduser is left out" in note for note in tool["notes"])


def test_a_draft_is_an_overlay_that_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft("tool", "-o", "mine")
    assert min(path.name for path in Path("mine").glob("*.yaml")) == "libc6.yaml"
    write_release(
        tmp_path / "whole",
        {path.stem: path.read_text() for path in Path("mine").glob("*.yaml")},
        release_file("v3"),
    )
    assert list_problems(tmp_path / "whole") == []
    mirror = f"file:{Path.cwd()}/mirror"
    options = ["--release", "./release", "--overlay", "mine", "--mirror", mirror]
    assert main(["cut", "--root", "root", *options, "tool_bins"]) == 0
    files = {str(path.relative_to("root")) for path in Path("root").rglob("*") if not path.is_dir()}
    assert {
        "usr/bin/tool",
        f"{LIB}/libsmall.so.2.3.4",
        "etc/tool/tool.conf",
        "usr/share/tool-data/a",
    } <= files
    assert not {"usr/bin/helper", "usr/bin/python3", "usr/sbin/adduser"} & files
    draft("tool", "-o", "mine", code=2)
    assert "mine/libc6.yaml exists" in capsys.readouterr().err


def test_the_release_keeps_its_definitions(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = "package: libsmall2\nslices: {runtime: {contents: {/usr/lib/*-linux-*/libsmall.so.2*: }}}\n"
    write_release(release, {"libsmall2": mine}, release_file("v3"))
    drafted = definitions(capsys, "tool")
    assert "libsmall2" not in drafted
    assert "      libsmall2_runtime:\n" in drafted["tool"]


def test_the_same_packages_give_the_same_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert definitions(capsys, "tool", "python3") == definitions(capsys, "python3", "tool")


def test_a_package_that_does_not_exist_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    draft("tol", code=5)
    assert "tol" in capsys.readouterr().err


def test_a_redraft_keeps_corrections_and_follows_the_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft("tool", "-o", "slices")
    path = Path("slices/tool.yaml")
    corrected = path.read_text().replace("      /usr/bin/other:\n", "")
    corrected = corrected.replace("      tool_data:\n", "      tool_data:  # the fonts\n", 1)
    path.write_text(corrected)
    draft("tool", "-o", "slices", code=2)
    assert "pass --update to update it" in capsys.readouterr().err
    draft("tool", "-o", "slices", "--update")
    assert path.read_text() == corrected
    added = Item("usr/bin/added", program(["libsmall.so.2"]), mode=0o755)
    packages = [
        dataclasses.replace(each, version="1:2.4", files=[*each.files, added])
        if each.name == "tool"
        else each
        for each in PACKAGES
    ]
    publish(tmp_path / "mirror", Suite("bookworm", packages=packages))
    capsys.readouterr()
    command = ["slice", "draft", "tool", "-o", "slices", "--update", "--release", "./release"]
    assert main([*command, "--mirror", f"file:{tmp_path}/mirror"]) == 0
    assert "slices/tool.yaml: bins: added /usr/bin/added\n" in capsys.readouterr().err
    text = path.read_text()
    assert "/usr/bin/added:\n" in text
    assert "# the fonts" in text
    assert "/usr/bin/other" not in text
    Path("slices/.drafts/tool.draft").unlink()
    draft("tool", "-o", "slices", "--update", code=2)
    assert "the draft that it was made from" in capsys.readouterr().err
    draft("tool", "--update", code=2)
