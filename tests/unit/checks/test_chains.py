from __future__ import annotations

import pytest

from pumice.checks.chains import check_programs
from tests.support.checked_images import LIBC, checked_image, run_check
from tests.support.objects import program


def test_a_program_with_its_loader_and_libraries_is_fine() -> None:
    paths = {**LIBC, "usr/bin/app": program(["libc.so.6"])}
    assert run_check(check_programs, checked_image(paths, ["/bin/app"])) == []


def test_a_missing_program_is_reported_with_the_path_or_with_the_places_searched() -> None:
    image = checked_image({"usr/bin/other": ""}, ["/usr/bin/app"])
    assert run_check(check_programs, image) == [
        ("warning command: the program '/usr/bin/app' does not exist")
    ]
    image = checked_image({}, ["sh", "-c", "x"], environment={"PATH": "/bin:/usr/bin"})
    assert run_check(check_programs, image) == [
        "warning command: the program 'sh' does not exist in PATH (/bin:/usr/bin)"
    ]


def test_a_program_that_is_not_executable_or_a_directory_is_reported() -> None:
    image = checked_image({"app": "#!/bin/sh\n"}, ["/app"])
    assert run_check(check_programs, image)[0] == (
        "warning command: the program '/app' is not executable (mode 0644)"
    )
    image = checked_image({"app/": ""}, ["/app"])
    assert run_check(check_programs, image) == ["warning command: the program '/app' is not a regular file"]


def test_each_missing_link_of_the_chain_is_named() -> None:
    paths: dict[str, str | bytes] = {
        "usr/bin/app": "#!/usr/bin/env python3\n",
        "usr/bin/env": program(["libc.so.6"]),
        "usr/lib/libc.so.6": program(["libgone.so.1"], interpreter="", soname="libc.so.6"),
    }
    assert run_check(check_programs, checked_image(paths, ["app"])) == [
        ("warning interpreter: python3, which interprets /usr/bin/app, is not in the image"),
        ("warning loader: the loader /lib64/ld-linux-x86-64.so.2 of /usr/bin/env is not in the image"),
        ("warning library: the library libgone.so.1, which /usr/lib/libc.so.6 needs, is not in the image"),
    ]


@pytest.mark.parametrize(
    ("runpath", "place"),
    [
        ("$ORIGIN/../private", "usr/private/libx.so.1"),
        ("", "usr/lib/jvm/lib/server/libx.so.1"),
        ("", "usr/lib/x86_64-linux-gnu/libx.so.1"),
    ],
)
def test_a_library_is_found_by_its_search_path_or_anywhere_in_the_image(runpath: str, place: str) -> None:
    paths = {**LIBC, "usr/bin/app": program(["libx.so.1"], runpath=runpath), place: program(interpreter="")}
    assert run_check(check_programs, checked_image(paths, ["app"])) == []


def test_configured_library_directories_are_searched() -> None:
    paths = {
        **LIBC,
        "usr/bin/app": program(["libx.so.1"]),
        "etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n",
        "etc/ld.so.conf.d/x.conf": "/opt/x\n",
        "opt/x/libx.so.1": program(interpreter=""),
    }
    image = checked_image(paths, ["app"])
    assert run_check(check_programs, image) == []
    assert "opt/x/libx.so.1" in image.reach.files


def test_an_absolute_link_is_resolved_inside_the_image() -> None:
    paths = {**LIBC, "usr/bin/app": "-> /etc/alternatives/app", "etc/alternatives/app": "-> /opt/bin/app"}
    assert run_check(check_programs, checked_image(paths, ["app"]))[0].startswith("warning command")
    paths["opt/bin/app"] = program(["libc.so.6"])
    assert run_check(check_programs, checked_image(paths, ["app"])) == []


def test_the_health_check_is_followed_as_well() -> None:
    image = checked_image({}, health=("/usr/bin/curl", "-f"))
    assert [finding.key for finding in check_programs(image)] == ["run.health"]


def test_a_script_is_followed_to_the_programs_that_its_text_names() -> None:
    paths = {
        **LIBC,
        "usr/bin/dash": program(["libc.so.6"]),
        "usr/bin/sh": "-> dash",
        "start": "#!/bin/sh\nexec /usr/sbin/server --flag\n",
        "usr/sbin/server": program(["libgone.so"]),
    }
    assert [f.path for f in check_programs(checked_image(paths, ["/start"], modes={"start": 0o755}))] == [
        "usr/sbin/server"
    ]


def test_files_that_nothing_reaches_are_not_judged() -> None:
    paths = {**LIBC, "usr/bin/app": program(["libc.so.6"]), "usr/bin/tool": "#!/usr/bin/perl\n"}
    assert run_check(check_programs, checked_image(paths, ["app"])) == []


def test_links_in_a_circle_and_scripts_that_name_each_other_come_to_an_end() -> None:
    paths = {"a": "-> b", "b": "-> a", "usr/bin/x": "#!/usr/bin/y\n", "usr/bin/y": "#!/usr/bin/x\n"}
    assert run_check(check_programs, checked_image(paths, ["/a"])) != []
    assert run_check(check_programs, checked_image(paths, ["x"])) == []


def test_hints_name_the_package_of_well_known_programs() -> None:
    image = checked_image({"usr/bin/app": "#!/usr/bin/perl -w\n"}, ["app"], health=("curl",))
    assert [finding.hint for finding in check_programs(image)] == [
        "add curl to 'packages'",
        "add perl-base to 'packages'",
    ]


def test_a_command_in_one_string_gets_the_list_to_write() -> None:
    image = checked_image({}, ["sh -c 'echo hi'"], health=("curl -f localhost || exit 1",))
    assert [finding.hint for finding in check_programs(image)] == [
        'write a list, because no shell splits the text: [sh, -c, "echo hi"]',
        'write a list, because no shell splits the text: [sh, -c, "curl -f localhost || exit 1"]',
    ]
