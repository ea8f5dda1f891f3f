from __future__ import annotations

import ast
import errno
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.runtime import sandbox

SOURCE = Path(sandbox.__file__)
ALLOW, REFUSE, UNKNOWN = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}


def judge(machine: str, number: int, first: int = 0, second: int = 0, architecture: int | None = None) -> int:
    """Execute the filter as the kernel does (classic BPF, the few instructions that it has)."""
    code = [
        struct.unpack_from("HBBI", sandbox.make_seccomp_filter(machine), at)
        for at in range(0, len(sandbox.make_seccomp_filter(machine)), 8)
    ]
    data = struct.pack("<iIQQQ", number, architecture or ARCHITECTURES[machine], 0, first, second)
    position = accumulator = 0
    while True:
        operation, on_true, on_false, constant = code[position]
        position += 1
        if operation == 0x20:
            accumulator = int.from_bytes(data[constant : constant + 4], "little")
        elif operation == 0x06:
            return int(constant)
        else:
            tests = {
                0x15: accumulator == constant,
                0x35: accumulator >= constant,
                0x45: accumulator & constant,
            }
            position += on_true if tests[operation] else on_false


def numbers(machine: str) -> dict[str, int]:
    column = 1 if machine == "x86_64" else 2
    rows = [row.split() for row in sandbox.DENIED_SYSCALLS.replace("\n", " ").split(",")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


@pytest.mark.parametrize("machine", sorted(ARCHITECTURES))
def test_seccomp_filter_denies_the_listed_calls_only(machine: str) -> None:
    denied = set(numbers(machine).values())
    for number in range(sandbox._FIRST_UNKNOWN):
        if number in denied:
            assert judge(machine, number) == REFUSE
        elif number == 435:
            assert judge(machine, number) == UNKNOWN
        else:
            assert judge(machine, number) == ALLOW
    assert judge(machine, sandbox._FIRST_UNKNOWN) == UNKNOWN
    assert judge(machine, 0x40000000) == UNKNOWN  # x32
    assert judge(machine, 0, architecture=0x40000003) == UNKNOWN  # i386


@pytest.mark.parametrize(("machine", "clone", "ioctl"), [("x86_64", 56, 16), ("aarch64", 220, 29)])
def test_the_filter_looks_at_flags_and_requests(machine: str, clone: int, ioctl: int) -> None:
    assert judge(machine, clone, first=0x01200011) == ALLOW  # fork
    assert judge(machine, clone, first=0x3D0F00) == ALLOW  # pthread_create
    for flag in sandbox.NAMESPACES:
        assert judge(machine, clone, first=flag | 17) == REFUSE
    assert judge(machine, ioctl, second=0x5401) == ALLOW  # TCGETS
    assert judge(machine, ioctl, second=0x5412) == REFUSE
    assert judge(machine, ioctl, second=0x541C) == REFUSE
    assert judge(machine, ioctl, second=0x1_0000_5412) == REFUSE  # the kernel looks at 32 bits too


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")],
)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    if os.uname().machine != "x86_64" and machine == "x86_64":
        pytest.skip("the headers of another architecture")
    text = f"#define __BITS_PER_LONG 64\n#include <{header}>\n"
    try:
        done = subprocess.run(
            ["gcc", "-E", "-dM", "-"], input=text, text=True, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there are no kernel headers")
    known = {
        name: int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", done.stdout)
    }
    assert {
        name: number for name, number in numbers(machine).items() if known.get(name, number) != number
    } == {}
    assert sum(name in known for name in numbers(machine)) > 45


def test_machines_without_a_table_have_no_filter() -> None:
    assert sandbox.make_seccomp_filter("vax") == b""


def test_it_is_one_file_of_the_standard_library() -> None:
    imported = {
        alias.name.split(".")[0] if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(ast.parse(SOURCE.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= {
        *("__future__", "collections.abc", "typing", "contextlib", "ctypes", "errno", "os", "signal"),
        *("stat", "struct", "sys", "fcntl", "socket", "select", "termios"),
    }


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(SOURCE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a root and a program are needed"),
        (("--root", "/x"), "a root and a program are needed"),
        (("--root", "/x", "--"), "a root and a program are needed"),
        (("--nope", "--", "x"), "unknown option --nope"),
        (("nope",), "unknown option nope"),
        (("--uid", "x", "--", "x"), "the option --uid has no usable value"),
        (("--root",), "the option --root has no usable value"),
        (("--args", "77", "--", "x"), "the option --args has no usable value"),
        (("--root", "/no/such/place", "--", "x"), "the root /no/such/place cannot be opened"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_125(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 125
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@given(
    st.lists(
        st.sampled_from(["--root", "--uid", "--env", "--bind", "--", "a", "1", "--uid-map", "--args", "0:0"])
    )
)
def test_any_command_line_is_options_or_a_failure(words: list[str]) -> None:
    try:
        options = sandbox.parse_options([word for word in words if word != "--args"])
    except sandbox.Failure:
        return
    assert options.root
    assert options.argv


WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")))


@given(WORDS)
def test_framed_words_come_back_as_they_were(words: list[str]) -> None:
    assert sandbox.decode_arguments(sandbox.encode_arguments(words)) == words


@given(st.binary(max_size=40))
def test_any_bytes_are_words_or_an_error(data: bytes) -> None:
    try:
        words = sandbox.decode_arguments(data)
    except ValueError:
        return
    assert not any("\0" in word for word in words)


@given(
    st.dictionaries(st.text(min_size=1).filter(lambda name: "=" not in name), st.text()),
    st.text(),
    st.lists(st.text()),
)
def test_no_text_becomes_another_option(
    environment: dict[str, str], directory: str, mounts: list[str]
) -> None:
    words = ["--root", "/", "--cwd", directory]
    words += [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
    words += [word for target in mounts for word in ("--tmpfs", target)]
    if any("\0" in word for word in words):
        with pytest.raises(ValueError, match="NUL"):
            sandbox.decode_arguments(sandbox.encode_arguments(words))
        return
    options = sandbox.parse_options([*sandbox.decode_arguments(sandbox.encode_arguments(words)), "--", "x"])
    assert (options.cwd, options.env) == (directory, environment)
    assert options.mounts == [("tmpfs", "tmpfs", target) for target in mounts]


def test_user_namespaces_that_are_switched_off_are_explained(tmp_path: Path) -> None:
    # Inside a user namespace the limit is its own, so switching them off there harms nobody.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = [sys.executable, "-I", "-S", str(SOURCE), "--root", str(tmp_path), "--", "/bin/true"]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "Permission" in done.stderr:
        pytest.skip("this machine has none to switch off")
    assert done.returncode == 125
    assert "cannot create a user namespace" in done.stderr
    assert "max_user_namespaces is 0" in done.stderr


def test_a_root_that_cannot_be_overlaid_is_copied(tmp_path: Path) -> None:
    from tests.support import images

    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").write_bytes(bytes(images.shell()["bin/busybox"]))  # type: ignore[arg-type]
    (root / "bin/sh").chmod(0o755)
    (root / "file").write_text("given")
    script = "read x < /file; echo $x; echo changed > /file; read x < /file; echo $x; exit 3"
    done = run("--copy", "--root", str(root), "--", "/bin/sh", "-c", script)
    assert (done.stdout, done.returncode) == ("given\nchanged\n", 3), done.stderr
    assert (root / "file").read_text() == "given"
    assert sorted(path.name for path in root.iterdir()) == ["bin", "file"]


def test_links_of_the_image_do_not_lead_mounts_out(tmp_path: Path) -> None:
    """A mount point that is a link is followed inside the new root, or replaced."""
    from tests.support import images

    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").write_bytes(bytes(images.shell()["bin/busybox"]))  # type: ignore[arg-type]
    (root / "bin/sh").chmod(0o755)
    outside = tmp_path / "outside"
    outside.mkdir()
    given_ = tmp_path / "given"
    given_.write_text("given\n")
    (root / "proc").symlink_to(outside)
    (root / "dev").symlink_to("../../../../../dev")
    (root / "sys").symlink_to("/bin/../missing")
    (root / "hosts").symlink_to(str(outside / "hosts"))
    script = "read x < /hosts; echo $x; [ -e /proc/self/status ] && [ -c /dev/null ] && echo ok"
    done = run("--root", str(root), "--ro-bind", str(given_), "/hosts", "--", "/bin/sh", "-c", script)
    assert (done.stdout, done.returncode) == ("given\nok\n", 0), done.stderr
    assert list(outside.iterdir()) == []
