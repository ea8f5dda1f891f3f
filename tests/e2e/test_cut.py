"""``pumice cut``: slices of packages in a directory, with their manifest, cut again in place."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from pumice.cli.main import main
from tests.support.archive import EPOCH, Deb, Item, Suite, folder, hardlink, publish, symlink, text
from tests.support.slices import release_file, write_release

TOOL = Deb(
    "tool",
    "1:2.0-1~x-2",
    files=[
        Item("usr/bin/tool", b"\x7fELF tool", mode=0o4755),
        hardlink("usr/bin/tool2", "usr/bin/tool"),
        hardlink("usr/bin/other", "usr/bin/tool"),
        symlink("usr/bin/link", "tool"),
        Item("lib/libtool.so.1.2", b"library", mode=0o644, mtime=EPOCH - 86400),
        symlink("lib/libtool.so.1", "libtool.so.1.2"),
        text("etc/tool.conf", "port = 1\n"),
        text("usr/share/tool/a.txt", "A"),
        text("usr/share/tool/b.txt", "B"),
        text("usr/share/tool/sub/c.txt", "C"),
        folder("var/lib/tool", 0o2750, gid=42, group="tool"),
        text("usr/share/doc/tool/copyright", "free\n"),
        text("usr/share/man/man1/tool.1", "manual"),
    ],
)
DEFINITION = """\
package: tool
essential: [tool_copyright]
slices:
  bins:
    essential: [tool_libs]
    contents:
      /usr/bin/tool:
      /usr/bin/tool2:
      /usr/bin/link:
      /opt/tool: {copy: /usr/bin/tool}
  libs:
    contents:
      /lib/libtool.so.*:
  config:
    contents:
      /etc/tool.conf: {mutable: true}
      /etc/all.txt: {text: "", mode: 0600, mutable: true}
      /usr/share/tool/**: {until: mutate}
      /var/lib/tool/:
      /run/tool/: {make: true}
      /etc/tool.link: {symlink: tool.conf}
    mutate: |
      directory = "/usr/share/tool/"
      files = [name for name in content.list(directory) if not name.endswith("/")]
      texts = [content.read(directory + name) for name in files] + content.list("/")
      content.write("/etc/all.txt", ",".join(texts))
      content.write("/etc/tool.conf", content.read("/etc/tool.link").replace("1", "2"))
  manifest:
    contents:
      /var/lib/chisel/**: {generate: manifest}
  copyright:
    contents:
      /usr/share/doc/tool/copyright:
"""


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    publish(tmp_path / "mirror", Suite("bookworm", packages=[TOOL]))
    monkeypatch.chdir(tmp_path)
    return write_release(tmp_path / "release", {"tool": DEFINITION})


def cut(*arguments: str, code: int = 0, options: Sequence[str] = ()) -> None:
    assert main(cut_command(*arguments)) == code


def cut_command(*arguments: str) -> list[str]:
    mirror = f"file:{Path.cwd()}/mirror"
    return ["cut", "--root", "root", "--release", "./release", "--mirror", mirror, *arguments]


def listing(root: Path) -> dict[str, str]:
    """Return what is at each path: a directory's mode, a link's target, or a file's mode and content."""
    result: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        name = "/" + str(path.relative_to(root))
        if path.is_symlink():
            result[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            result[name + "/"] = f"{stat.S_IMODE(status.st_mode):04o}"
        elif name.endswith("manifest.wall"):
            result[name] = "manifest"
        else:
            result[name] = f"{stat.S_IMODE(status.st_mode):04o} {path.read_bytes().decode('latin-1')}"
    return result


def records(root: Path) -> list[dict[str, object]]:
    data = (
        zstandard.ZstdDecompressor()
        .decompressobj()
        .decompress((root / "var/lib/chisel/manifest.wall").read_bytes())
    )
    return [json.loads(line) for line in data.splitlines()]


def test_slices_are_cut_with_what_they_require(release: Path, tmp_path: Path) -> None:
    cut("tool_bins")
    set_uid = "4755" if os.geteuid() == 0 else "0755"
    assert listing(tmp_path / "root") == {
        "/lib/": "0755",
        "/lib/libtool.so.1": "-> libtool.so.1.2",
        "/lib/libtool.so.1.2": "0644 library",
        "/opt/": "0755",
        "/opt/tool": f"{set_uid} \x7fELF tool",
        "/usr/": "0755",
        "/usr/bin/": "0755",
        "/usr/bin/link": "-> tool",
        "/usr/bin/tool": f"{set_uid} \x7fELF tool",
        "/usr/bin/tool2": f"{set_uid} \x7fELF tool",
        "/usr/share/": "0755",
        "/usr/share/doc/": "0755",
        "/usr/share/doc/tool/": "0755",
        "/usr/share/doc/tool/copyright": "0644 free\n",
    }
    root = tmp_path / "root"
    assert (root / "usr/bin/tool").stat().st_ino == (root / "usr/bin/tool2").stat().st_ino
    assert (root / "lib/libtool.so.1.2").stat().st_mtime == EPOCH - 86400


def test_a_hard_link_to_a_symbolic_link_is_that_link(release: Path, tmp_path: Path) -> None:
    files = [symlink("usr/bin/link", "tool"), hardlink("usr/bin/other", "usr/bin/link")]
    publish(tmp_path / "mirror", Suite("bookworm", packages=[Deb("tool", "2", files=files)]))
    contents = "      /usr/bin/other:\n      /usr/bin/second: {copy: /usr/bin/other}\n"
    write_release(release, {"tool": f"package: tool\nslices:\n  bins:\n    contents:\n{contents}"})
    cut("tool_bins")
    links = {path: text for path, text in listing(tmp_path / "root").items() if not path.endswith("/")}
    assert links == {"/usr/bin/other": "-> tool", "/usr/bin/second": "-> tool"}


def test_scripts_change_files_and_what_only_they_need_is_removed(release: Path, tmp_path: Path) -> None:
    cut("tool_config", "tool_manifest")
    files = listing(tmp_path / "root")
    assert files["/etc/all.txt"] == "0600 A,B,etc/,run/,usr/,var/"
    assert files["/etc/tool.conf"] == "0644 port = 2\n"
    assert files["/etc/tool.link"] == "-> tool.conf"
    assert files["/run/tool/"] == "0755"
    assert not any(path.startswith("/usr/share/tool") for path in files)


def test_the_manifest_lists_packages_slices_paths_and_contents_in_order(
    release: Path, tmp_path: Path
) -> None:
    cut("tool_bins", "tool_config", "tool_manifest")
    header, *rest = records(tmp_path / "root")
    assert header == {"jsonwall": "1.0", "schema": "1.0", "count": len(rest) + 1}
    lines = [json.dumps(record, separators=(",", ":")) for record in rest]
    assert lines == sorted(lines)
    paths = {str(record["path"]): record for record in rest if record["kind"] == "path"}
    assert list(paths["/usr/bin/tool"]) == ["kind", "path", "mode", "slices", "sha256", "size", "inode"]
    assert paths["/usr/bin/tool"]["inode"] == paths["/usr/bin/tool2"]["inode"] == 1
    assert paths["/usr/bin/tool"]["sha256"] == paths["/usr/bin/tool2"]["sha256"]
    assert paths["/usr/bin/tool"]["mode"] == paths["/usr/bin/tool2"]["mode"] == "04755"
    assert paths["/usr/bin/link"] == {
        "kind": "path", "path": "/usr/bin/link", "mode": "0777", "slices": ["tool_bins"], "link": "tool",
    }  # fmt: skip
    assert paths["/var/lib/tool/"] == {
        "kind": "path", "path": "/var/lib/tool/", "mode": "02750", "slices": ["tool_config"],
    }  # fmt: skip
    assert list(paths["/etc/all.txt"]) == ["kind", "path", "mode", "slices", "sha256", "final_sha256", "size"]
    assert paths["/var/lib/chisel/manifest.wall"] == {
        "kind": "path", "path": "/var/lib/chisel/manifest.wall", "mode": "0644", "slices": ["tool_manifest"],
    }  # fmt: skip
    assert "/usr/share/tool/a.txt" not in paths
    (package,) = [record for record in rest if record["kind"] == "package"]
    assert (package["name"], package["version"], package["arch"]) == ("tool", TOOL.version, "amd64")
    names = [record["name"] for record in rest if record["kind"] == "slice"]
    assert names == ["tool_bins", "tool_config", "tool_copyright", "tool_libs", "tool_manifest"]


def test_a_directory_is_cut_again_in_place(release: Path, tmp_path: Path) -> None:
    cut("tool_config", "tool_manifest")
    (tmp_path / "root" / "mine.txt").write_text("mine")
    cut("tool_libs")
    files = listing(tmp_path / "root")
    assert {"/lib/libtool.so.1.2", "/etc/tool.conf", "/mine.txt"} <= files.keys()
    # A newer release of slices no longer has the configuration, and a newer package another library.
    write_release(
        release, {"tool": DEFINITION.replace("/run/tool/: {make: true}", "/run/new/: {make: true}")}
    )
    newer = Deb("tool", "1:3.0", files=[*TOOL.files[:4], text("lib/libtool.so.2", "new"), *TOOL.files[6:]])
    publish(tmp_path / "mirror", Suite("bookworm", packages=[newer], date=EPOCH + 86400))
    cut()
    files = listing(tmp_path / "root")
    assert files["/lib/libtool.so.2"] == "0644 new"
    assert files["/mine.txt"] == "0644 mine"
    assert not {"/lib/libtool.so.1.2", "/lib/libtool.so.1", "/run/tool/"} & files.keys()
    assert "/run/new/" in files
    assert not [path for path in files if ".pumice" in path]


def test_files_of_others_are_never_replaced(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root" / "lib").mkdir(parents=True)
    (tmp_path / "root" / "lib" / "libtool.so.1").write_text("mine")
    cut("tool_libs", code=10)
    assert "a file exists that no slice has put there" in capsys.readouterr().err
    assert listing(tmp_path / "root") == {"/lib/": "0755", "/lib/libtool.so.1": "0644 mine"}


def test_links_in_a_directory_do_not_lead_out_of_it(release: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "lib").symlink_to(tmp_path / "outside")
    cut("tool_libs", code=10)
    assert list((tmp_path / "outside").iterdir()) == []


def test_every_missing_path_is_reported(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(
        release,
        {
            "tool": "package: tool\nslices:\n  bins:\n    contents:\n      /usr/bin/gone:\n      /usr/x/*:\n      /usr/bin/tool:\n"
        },
    )
    cut("tool_bins", code=8)
    error = capsys.readouterr().err
    assert "slices/tool.yaml:5:7: tool_bins: tool=1:2.0-1~x-2 has no /usr/bin/gone" in error
    assert "slices/tool.yaml:6:7: tool_bins: tool=1:2.0-1~x-2 has no /usr/x/*" in error
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ('content.read("/etc/passwd")', "cannot read /etc/passwd: no selected slice has it"),
        ('content.read("/etc/../../etc/passwd")', "no selected slice has it"),
        ('content.write("/usr/bin/tool", "")', "cannot write /usr/bin/tool: it is not mutable"),
        ('content.write("/etc/out", "")', "cannot write /etc/out: no selected slice has it"),
        ('content.write("/etc/tool.link", "")', "cannot write /etc/tool.link: it is not mutable"),
        ('content.read("/usr/bin")', "/usr/bin is not a file"),
        ('content.list("/usr/bin/tool")', "/usr/bin/tool is not a directory"),
        ('content.list("/home")', "cannot list /home: no selected slice has it"),
        ('content.read("etc/x")', "a path of content must be an absolute path"),
        ("while True: pass", "'while' is not part of the language"),
    ],
)
def test_scripts_do_only_what_their_slices_list(
    release: Path, capsys: pytest.CaptureFixture[str], script: str, problem: str
) -> None:
    contents = "      /usr/bin/tool:\n      /etc/out: {symlink: ../../../etc/hostname}\n"
    contents += "      /etc/tool.conf: {mutable: true}\n      /etc/tool.link: {symlink: tool.conf}\n"
    text = f"package: tool\nslices:\n  bins:\n    contents:\n{contents}    mutate: |\n      x = 1\n      {script}\n"
    write_release(release, {"tool": text})
    cut("tool_bins", code=8)
    error = capsys.readouterr().err
    assert problem in error
    assert "slices/tool.yaml:11:1: " in error


def test_a_release_that_is_not_maintained_is_refused(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dates = "maintenance: {standard: 2001-01-01, end-of-life: 2002-01-01}\n"
    write_release(release, {"tool": DEFINITION}, release_file(maintenance=dates))
    cut("tool_libs", code=2)
    assert "the release is not maintained since 2002-01-01" in capsys.readouterr().err
    cut("tool_libs", "--ignore", "unmaintained")


def test_the_package_comes_from_the_archive_with_the_highest_priority(release: Path, tmp_path: Path) -> None:
    publish(tmp_path / "second", Suite("stable", packages=[Deb("tool", "9", files=TOOL.files)]))
    archive = "{version: '1', suites: [%s], components: [main], public-keys: [test-key], priority: %s}"
    archives = f"archives:\n  one: {archive % ('bookworm', 10)}\n  two: {archive % ('stable', 5)}\n"
    mirrors = ["--mirror", f"one=file:{tmp_path}/mirror", "--mirror", f"two=file:{tmp_path}/second"]
    for pin, version in (("", TOOL.version), ("archive: two\n", "9")):
        write_release(release, {"tool": pin + DEFINITION}, release_file(archives=archives))
        root = f"root-{version.partition(':')[0]}"
        assert main(["cut", "--root", root, "--release", "./release", *mirrors, "tool_manifest"]) == 0
        assert [
            record["version"] for record in records(tmp_path / root) if record.get("kind") == "package"
        ] == [version]


def test_an_archive_without_the_release_s_key_is_refused(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path / "mirror", Suite("bookworm", packages=[TOOL], signer="other"))
    cut("tool_libs", code=7)
    assert not (tmp_path / "root").exists()


def test_a_prefer_decides_between_packages(release: Path, tmp_path: Path) -> None:
    other = Deb("other", files=[text("usr/bin/tool", "other")])
    publish(tmp_path / "mirror", Suite("bookworm", packages=[TOOL, other]))
    write_release(
        release,
        {
            "tool": "package: tool\nslices: {bins: {contents: {/usr/bin/tool: {prefer: other}}}}\n",
            "other": "package: other\nslices: {bins: {contents: {/usr/bin/tool: }}}\n",
        },
    )
    cut("tool_bins", "other_bins")
    assert (tmp_path / "root/usr/bin/tool").read_text() == "other"
    assert main(["cut", "--root", "alone", *cut_command("tool_bins")[3:]]) == 0
    assert (tmp_path / "alone/usr/bin/tool").read_bytes() == b"\x7fELF tool"
