"""What a file uses of other packages, by its path and content."""

from __future__ import annotations

import pytest

from pumice.formats.tar import Entry
from pumice.omission.script_uses import find_shell_commands
from pumice.omission.uses import FileUses, is_started_by_name, read_file_uses


def read(path: str, text: str, mode: int = 0o755) -> FileUses | None:
    content = text.encode()
    entry = Entry(path, "file", mode, size=len(content))
    return read_file_uses(entry, lambda offset, size: content[offset : offset + size])


def programs(path: str, text: str, mode: int = 0o755) -> tuple[str, ...]:
    uses = read(path, text, mode)
    return uses.programs if uses else ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tar -c x | gzip\n", {"tar", "gzip"}),
        ("if command -v which > /dev/null; then :; fi\n", {"which"}),
        ("LANG=C exec tar x\n", {"tar"}),
        ("find . | xargs -0 -n 1 tar\n", {"find", "xargs", "tar"}),
        ("x=$(readlink -f .)\n", {"readlink"}),
        ("[[ $x =~ a ]] && declare -A y; y=(1 2); tar x\n", {"tar"}),  # bash alone
        ("f() {\n  [[ a ]]\n  ps -e |\n    awk '{print}'\n}\n", {"ps", "awk"}),
        ("cat <(pidof x)\n", {"cat", "pidof"}),
        ("if [[ a ]]; then LANG=C /usr/bin/tar x; else sudo -u root ps; fi\n", {"/usr/bin/tar", "ps"}),
        ("[[ a ]]  # tar x\n# ps\necho done\n", set()),
    ],
)
def test_commands_of_a_shell_script(text: str, expected: set[str]) -> None:
    found = set(find_shell_commands(text))
    tools = {"tar", "gzip", "which", "find", "xargs", "readlink", "ps", "awk", "cat", "pidof", "/usr/bin/tar"}
    assert found & tools == expected


@pytest.mark.parametrize(
    ("interpreter", "line", "expected"),
    [
        ("perl", 'system("tar", "x");', {"tar"}),
        ("perl", "open(my $x, '-|', 'dpkg-deb', '-f');", {"dpkg-deb"}),
        ("perl", "my $x = `pidof app`;", {"pidof"}),
        ("perl", "exec { 'openssl' } 'x';", {"openssl"}),
        ("perl", "my $passwd = $ENV{passwd}; # system('tar')", {"tar"}),
        ("perl", "  # system('tar')", set()),
        ("python3", 'subprocess.run(["tar", "x"])', {"tar"}),
        ("python3", "os.system('ps -e')", {"ps"}),
        ("python3", 'names = {"passwd": "login"}', set()),
        ("ruby", "out = `openssl version`", {"openssl"}),
    ],
)
def test_commands_that_other_scripts_call(interpreter: str, line: str, expected: set[str]) -> None:
    found = programs("usr/bin/app", f"#!/usr/bin/{interpreter}\n{line}\n")
    assert {name for name in found if "/" not in name} == expected


def test_modules_of_a_script() -> None:
    perl = read("usr/bin/app", "#!/usr/bin/perl\nuse strict;\nuse File::Temp;\nrequire Cwd;\n")
    assert perl is not None
    assert perl.modules == ("File/Temp.pm", "Cwd.pm")
    python = read("usr/bin/app", "#!/usr/bin/env python3\nimport yaml\nfrom apt import cache\n")
    assert python is not None
    assert (python.interpreter, python.modules) == ("python3", ("yaml", "apt"))


@pytest.mark.parametrize(
    ("path", "is_started"),
    [
        ("usr/bin/app", True),
        ("usr/libexec/app/run", True),
        ("usr/lib/git-core/git-x", True),
        ("usr/lib/postgresql/15/bin/initdb", True),
        ("usr/share/tomcat10/bin/catalina.sh", True),
        ("usr/lib/postfix/sbin/postfix-script", True),
        ("usr/lib/cups/filter/text", True),
        ("usr/lib/app/helper", False),
        ("usr/share/app/bin/deep/helper", False),
        ("usr/sbin/update-app", False),
        ("usr/bin/dh_app", False),
        ("usr/bin/cpan5.36-x86_64-linux-gnu", False),
    ],
)
def test_only_a_program_that_something_can_start_by_name_counts(path: str, is_started: bool) -> None:
    assert is_started_by_name(path) is is_started


def test_an_executable_text_without_interpreter_is_a_script_in_a_directory_of_programs() -> None:
    assert "which" in programs("usr/bin/common", "# shared\nfind_it() {\n  which $1\n}\n")
    assert programs("usr/lib/app/common", "which x\n") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run = /usr/bin/openssl rand\n", ("usr/bin/openssl",)),
        ("[ui]\neditor = sensible-editor\n", ("sensible-editor",)),
        ("pager: 'sensible-pager'\n", ("sensible-pager",)),
        ('include_shell "/usr/share/app/use-ipv6.pl " + port\n', ("usr/share/app/use-ipv6.pl",)),
        ("log = /var/log/app\n", ()),
        ("mode = passwd\npasswd: files\n", ()),
        ("description = an open-source server\n", ()),
    ],
)
def test_programs_in_settings(text: str, expected: tuple[str, ...]) -> None:
    assert programs("etc/app.conf", text, 0o644) == expected
    assert programs("usr/share/app.conf", text, 0o644) == ()


@pytest.mark.parametrize(
    "path", ["usr/bin/select-editor", "etc/cron.daily/app", "etc/init.d/app", "usr/share/bug/app/script"]
)
def test_scripts_that_nothing_starts_use_nothing(path: str) -> None:
    assert read(path, "#!/bin/sh\ntar x\n") is None


@pytest.mark.parametrize(
    "piece",
    [
        " ",
        "\n",
        ";a=",
        "exec ",
        "exec -exec ",
        "sudo -u -u ",
        "system (",
        "a, ",
        "system($a ",
        "`",
        "/a",
        "=",
        "a-",
    ],
)
@pytest.mark.parametrize("line", ["#!/bin/bash\n[[", "#!/usr/bin/perl"])
def test_no_script_takes_long(line: str, piece: str) -> None:
    """A text that makes a regular expression slow would take hours."""
    assert read("usr/bin/app", f"{line}\n{piece * ((1 << 17) // len(piece))}\n") is not None
    read("etc/app.conf", piece * ((1 << 17) // len(piece)))
