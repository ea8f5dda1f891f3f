"""The formats of releases as tables: what a definition says, and each problem with its place."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from pumice.errors import SliceError, StoreError
from pumice.slices.release import load_release, parse_release, read_files
from pumice.store.home import Home
from tests.support.slice_tables import (
    ONE,
    WRONG_DEFINITIONS,
    WRONG_PATHS,
    WRONG_RELEASE_FILES,
    definition,
)
from tests.support.slices import list_problems, release_file, write_release

GOOD = """\
package: tool
archive: debian
essential:
  - tool_copyright
slices:
  bins:
    hint: Programs
    essential: [tool_libs]
    contents:
      /usr/bin/tool:
      /usr/bin/link: {symlink: tool}
      /usr/bin/copy: {copy: /usr/bin/tool, arch: amd64}
      /etc/tool.conf: {text: "a: b", mode: 0600, mutable: true}
      /etc/empty: {text: ""}
      /var/lib/tool/: {make: true, mode: 0o2755}
      /usr/share/tool/**: {until: mutate, arch: [amd64, arm64]}
      /var/lib/chisel/**: {generate: manifest}
    mutate: |
      content.write("/etc/tool.conf", "")
  libs:
    contents:
      /usr/lib/*-linux-*/libtool.so.*:
  copyright:
    contents:
      /usr/share/doc/tool/copyright:
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    release, problems = parse_release(read_files(write_release(tmp_path, {"tool": GOOD})).contents)
    assert problems == []
    tool = release.packages["tool"]
    bins = tool.slices["bins"]
    assert (tool.archive, bins.full_name, bins.hint) == ("debian", "tool_bins", "Programs")
    assert [item.name for item in bins.essential] == ["tool_copyright", "tool_libs"]
    assert [item.name for item in tool.slices["copyright"].essential] == []
    assert {(rule.path, rule.kind, rule.info, rule.mode, rule.mutable) for rule in bins.contents} == {
        ("/usr/bin/tool", "copy", "", 0, False),
        ("/usr/bin/link", "symlink", "tool", 0, False),
        ("/usr/bin/copy", "copy", "/usr/bin/tool", 0, False),
        ("/etc/tool.conf", "text", "a: b", 0o600, True),
        ("/etc/empty", "text", "", 0, False),
        ("/var/lib/tool/", "dir", "", 0o2755, False),
        ("/usr/share/tool/**", "glob", "", 0, False),
        ("/var/lib/chisel/**", "generate", "", 0, False),
    }
    rules = {rule.path: rule for rule in bins.contents}
    assert rules["/usr/share/tool/**"].until_mutate
    assert rules["/usr/bin/copy"].architectures == ("amd64",)
    assert not rules["/usr/share/tool/**"].applies_to("s390x")
    assert bins.mutate == 'content.write("/etc/tool.conf", "")\n'
    assert (bins.line, bins.mutate_line, rules["/usr/bin/tool"].line) == (6, 19, 10)


@pytest.mark.parametrize(("contents", "problem"), WRONG_PATHS)
def test_a_wrong_path_is_refused_at_its_place(tmp_path: Path, contents: str, problem: str) -> None:
    (found,) = list_problems(write_release(tmp_path, {"tool": definition(contents)}))
    place, _, message = found.partition(": ")
    assert place.rpartition(":")[0] == "slices/tool.yaml:5"
    assert message.startswith("tool_bins: ")
    assert message.endswith(problem)
    path = contents.strip('"? :').partition(":")[0].partition("\n")[0].strip('"')
    assert path[:200] in message


@pytest.mark.parametrize(("text", "problem"), WRONG_DEFINITIONS)
def test_a_wrong_definition_is_refused_at_its_place(tmp_path: Path, text: str, problem: str) -> None:
    place, _, message = problem.partition(": ")
    found_place, _, found = list_problems(write_release(tmp_path, {"tool": text}))[0].partition(": ")
    assert (found_place, found.removeprefix("tool_bins: ")) == (f"slices/tool.yaml:{place}", message)


@pytest.mark.parametrize(("chisel_yaml", "problem"), WRONG_RELEASE_FILES)
def test_a_wrong_chisel_yaml_is_refused(tmp_path: Path, chisel_yaml: str, problem: str) -> None:
    folder = write_release(tmp_path, {"tool": GOOD}, release_file())
    (folder / "chisel.yaml").write_text(chisel_yaml)
    problems = list_problems(folder)
    assert any(problem in found for found in problems), problems


def test_archives_have_the_priorities_that_count(tmp_path: Path) -> None:
    archives = f"archives: {{b: {ONE}, default: true}}, a: {ONE}}}, c: {ONE}}}}}\n"
    folder = write_release(tmp_path, {}, release_file(archives=archives))
    release, problems = parse_release(read_files(folder).contents)
    assert problems == []
    assert {name: archive.priority for name, archive in release.archives.items()} == {
        "a": -1,
        "b": 1,
        "c": -3,
    }


def test_an_archive_of_an_unknown_subscription_is_ignored(tmp_path: Path) -> None:
    archives = f"archives: {{a: {ONE}, priority: 1}}, b: {ONE}, priority: 2, pro: new}}}}\n"
    folder = write_release(tmp_path, {}, release_file(archives=archives))
    release, problems = parse_release(read_files(folder).contents)
    assert (problems, list(release.archives)) == ([], ["a"])
    assert release.notes == ("the archive b is ignored: unknown 'pro' 'new'",)


def test_old_ubuntu_releases_have_known_dates(tmp_path: Path) -> None:
    archives = f"archives: {{ubuntu: {ONE.replace(chr(39) + '1' + chr(39), '22.04')}}}}}\n"
    folder = write_release(tmp_path, {}, release_file(archives=archives, maintenance="\n"))
    release, problems = parse_release(read_files(folder).contents)
    assert (problems, release.maintenance.supported_until) == ([], "2027-06-01")


def test_format_v3_has_requirements_by_architecture(tmp_path: Path) -> None:
    text = definition("/x:", more="essential: {tool_libs: {arch: [i386, amd64]}, tool_copyright: }\n")
    text += "  libs:\n  copyright:\n"
    release, problems = parse_release(
        read_files(write_release(tmp_path, {"tool": text}, release_file("v3"))).contents
    )
    essential = release.packages["tool"].slices["bins"].essential
    assert [(item.name, item.architectures) for item in essential] == [
        ("tool_libs", ("i386", "amd64")),
        ("tool_copyright", ()),
    ]
    assert problems == []
    assert list_problems(
        write_release(tmp_path, {"tool": text.replace("essential", "v3-essential")}, release_file("v3"))
    ) == ["slices/tool.yaml:2:15: 'v3-essential' is obsolete since format v3"]
    text = "package: tool\nv3-essential: {tool_libs: {arch: i386}}\nslices: {bins: , libs: }\n"
    assert list_problems(write_release(tmp_path, {"tool": text}, release_file("v2"))) == []


def test_all_problems_of_all_files_are_reported_in_order(tmp_path: Path) -> None:
    folder = write_release(
        tmp_path,
        {
            "tool": definition("/x: {until: a}\n      y:"),
            "aaa": "package: bbb\n",
            "slices/x/tool.yaml": definition(),
            "slices/UPPER.yaml": "",
            "slices/README.md": "not a definition",
        },
    )
    assert [problem.partition(": ")[0] for problem in list_problems(folder)] == [
        "slices/UPPER.yaml",
        "slices/aaa.yaml:1:10",
        "slices/tool.yaml:5:19",
        "slices/tool.yaml:6:7",
        "slices/x/tool.yaml",
    ]


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "a", {})
    (folder / "slices" / "tool.yaml").symlink_to("/etc/passwd")
    with pytest.raises(SliceError, match="must be a regular file"):
        load_release(folder)
    folder = write_release(tmp_path / "b", {"tool": "#" * (1 << 20) + "\n"})
    with pytest.raises(SliceError, match="larger than 1 MiB"):
        load_release(folder)
    folder = write_release(tmp_path / "c", {"slices/" + "d/" * 20 + "tool.yaml": ""})
    with pytest.raises(SliceError, match="nested more than 16 deep"):
        load_release(folder)
    with pytest.raises(StoreError, match="does not exist"):
        load_release(tmp_path / "gone")
    (tmp_path / "noise").write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(SliceError):
        load_release(tmp_path / "noise")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SliceError, match=r"there is no chisel\.yaml"):
        load_release(tmp_path / "empty")


def test_an_archive_of_a_branch_is_a_release(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "branch", {"tool": GOOD, "slices/sub/other.yaml": "package: other\n"})
    with tarfile.open(tmp_path / "branch.tar.gz", "w:gz") as archive:
        archive.add(folder, "chisel-releases-26.04")
    release = load_release(tmp_path / "branch.tar.gz")
    assert sorted(release.packages) == ["other", "tool"]
    assert release.digest == load_release(folder).digest


def test_overlays_replace_definitions_and_the_first_one_wins(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "release", {"tool": GOOD, "other": "package: other\n"})
    for number in (1, 2):
        overlay = tmp_path / f"overlay{number}"
        overlay.mkdir()
        (overlay / "tool.yaml").write_text(definition(f"/overlay{number}:"))
        (overlay / f"new{number}.yaml").write_text(f"package: new{number}\n")
    release = load_release(folder, [tmp_path / "overlay1", tmp_path / "overlay2"])
    assert sorted(release.packages) == ["new1", "new2", "other", "tool"]
    assert release.packages["tool"].slices["bins"].contents[0].path == "/overlay1"
    assert release.digest != load_release(folder).digest


def test_a_known_release_is_not_read_again_until_a_file_changes(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    folder = write_release(tmp_path / "release", {"tool": GOOD})
    release = load_release(folder, home=home)
    (folder / "slices" / "tool.yaml").chmod(0)  # the stamp has the time of the change
    (folder / "slices" / "tool.yaml").chmod(0o644)
    assert load_release(folder, home=home) == release
    (folder / "slices" / "tool.yaml").write_text(GOOD.replace("hint: Programs", "hint: Others"))
    assert load_release(folder, home=home).packages["tool"].slices["bins"].hint == "Others"
    (folder / "slices" / "tool.yaml").write_text("package: wrong\n")
    with pytest.raises(SliceError) as refused:
        load_release(folder, home=home)
    assert refused.value.problems[0].where == f"{folder}/slices/tool.yaml:1:10"
