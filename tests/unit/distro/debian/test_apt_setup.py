"""apt's own files are read as apt reads them; what is broken is named and left out."""

from __future__ import annotations

from pathlib import Path

from pumice.distro.debian import apt_setup


def write_text(root: Path, name: str, text: str) -> None:
    path = root / "etc/apt" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_setup_is_empty_without_apt(tmp_path: Path) -> None:
    assert apt_setup.read_apt_setup(tmp_path) == apt_setup.AptSetup(root=str(tmp_path))


def test_reads_the_files_that_apt_reads_in_its_order(tmp_path: Path) -> None:
    write_text(tmp_path, "sources.list", "deb http://main.example one main\n")
    write_text(tmp_path, "sources.list.d/b.list", "deb http://b.example two main\n")
    write_text(
        tmp_path,
        "sources.list.d/a.sources",
        "Types: deb\nURIs: http://a.example\nSuites: s\nComponents: main\n",
    )
    for ignored in ("c.list.disabled", "d.list~", "e.save", "f.txt", "g h.list"):
        write_text(tmp_path, f"sources.list.d/{ignored}", "deb http://ignored.example x main\n")
    setup = apt_setup.read_apt_setup(tmp_path)
    assert [entry.uri for entry in setup.entries] == [
        "http://main.example", "http://a.example", "http://b.example",
    ]  # fmt: skip
    assert setup.problems == ()


def test_configuration_parts_come_before_the_main_file(tmp_path: Path) -> None:
    write_text(tmp_path, "apt.conf.d/10first", 'A "1"; B "1";')
    write_text(tmp_path, "apt.conf.d/20second.conf", 'B "2"; C "2";')
    write_text(tmp_path, "apt.conf.d/30ignored.bak", 'A "3";')
    write_text(tmp_path, "apt.conf", 'C "3";')
    setup = apt_setup.read_apt_setup(tmp_path).configuration
    assert [setup.get(name) for name in "abc"] == ["1", "2", "3"]


def test_directories_can_be_configured(tmp_path: Path) -> None:
    write_text(tmp_path, "apt.conf", 'Dir::Etc::SourceParts "other.d"; Dir::Etc::SourceList "/dev/null";')
    write_text(tmp_path, "sources.list.d/a.list", "deb http://a.example s main\n")
    write_text(tmp_path, "other.d/b.list", "deb http://b.example s main\n")
    assert [entry.uri for entry in apt_setup.read_apt_setup(tmp_path).entries] == ["http://b.example"]


def test_a_malformed_file_is_reported_and_the_others_are_used(tmp_path: Path) -> None:
    write_text(tmp_path, "sources.list.d/a.list", "rubbish\n")
    write_text(tmp_path, "sources.list.d/b.list", "deb http://b.example s main\n")
    write_text(tmp_path, "apt.conf.d/bad", 'A "1')
    write_text(tmp_path, "apt.conf.d/good", 'B "2";')
    setup = apt_setup.read_apt_setup(tmp_path)
    assert [entry.uri for entry in setup.entries] == ["http://b.example"]
    assert setup.configuration.get("b") == "2"
    base = tmp_path / "etc/apt"
    assert setup.problems == (
        f"{base}/apt.conf.d/bad:1: a quoted value is not closed",
        f"{base}/sources.list.d/a.list:1: a source must start with deb or deb-src",
    )


def test_reads_logins_from_the_file_and_the_directory(tmp_path: Path) -> None:
    write_text(tmp_path, "auth.conf", "machine a.example login a password 1\n")
    write_text(tmp_path, "auth.conf.d/x.conf", "machine b.example login b password 2\n")
    write_text(tmp_path, "auth.conf.d/x.bak", "machine c.example login c password 3\n")
    assert [login.host for login in apt_setup.read_apt_setup(tmp_path).logins] == ["a.example", "b.example"]


def test_expands_a_mirror_list_file(tmp_path: Path) -> None:
    write_text(
        tmp_path,
        "mirrors/debian.list",
        "# ours first\nhttp://a.example/debian\thint:x\nhttp://b.example/debian\n",
    )
    write_text(tmp_path, "sources.list", "deb mirror+file:/etc/apt/mirrors/debian.list bookworm main\n")
    assert [(entry.uri, entry.suite) for entry in apt_setup.read_apt_setup(tmp_path).entries] == [
        ("http://a.example/debian", "bookworm"), ("http://b.example/debian", "bookworm"),
    ]  # fmt: skip
