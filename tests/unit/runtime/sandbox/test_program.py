from __future__ import annotations

import ast
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from pumice.runtime import sandbox

FOLDER = Path(sandbox.__file__).parent
PROGRAM = FOLDER / "__main__.py"
STANDARD_MODULES = {
    *("__future__", "collections.abc", "typing", "types", "_signal", "signal", "_ctypes", "errno", "os"),
    *("stat", "struct", "_struct", "sys", "fcntl", "select", "termios", "resource", "socket", "_socket"),
}


def test_it_imports_the_standard_library_and_its_own_folder_only() -> None:
    names = {
        name
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
        )
    }
    assert {name for name in names if not name.startswith("pumice.runtime.sandbox")} <= STANDARD_MODULES


PROBE = """
import os, sys
program, host_root = sys.argv[1], os.stat("/")
def report(event, arguments):
    if event == "import" and not os.path.samestat(os.stat("/"), host_root):
        os.write(2, f"import {arguments[0]}\\n".encode())
sys.addaudithook(report)
del sys.argv[:1]
with open(program) as file:
    exec(compile(file.read(), program, "exec"), {"__name__": "__main__", "__file__": program})
"""
"""A program that runs the sandbox, and writes what it imports after its root changed."""


@pytest.mark.parametrize(
    "options",
    [(), ("--init",), ("--copy",), ("--read-only",), ("--network", "none"), ("--terminal",), ("--in-place",)],
    ids=" ".join,
)
def test_nothing_is_imported_after_the_root_has_changed(tmp_path: Path, options: tuple[str, ...]) -> None:
    make_root(tmp_path)
    outer_end, inner_end = pty.openpty()
    command = [sys.executable, "-I", "-S", "-c", PROBE, str(PROGRAM), "--root", str(tmp_path), *options]
    reported = subprocess.run(
        [*command, "--", "/bin/sh", "-c", "exit 3"],
        stdin=inner_end,
        stdout=inner_end,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(inner_end)
    os.close(outer_end)
    assert (reported.stderr, reported.returncode) == ("", 3)


def test_nothing_is_imported_to_report_that_the_program_is_missing(tmp_path: Path) -> None:
    make_root(tmp_path)
    command = [sys.executable, "-I", "-S", "-c", PROBE, str(PROGRAM), "--root", str(tmp_path)]
    reported = subprocess.run([*command, "--", "/none"], capture_output=True, text=True, check=False)
    assert reported.stderr == "/none: not found in the image\n"


def make_root(path: Path) -> None:
    """Create a root file system with a shell."""
    from tests.support import images

    (path / "bin").mkdir(parents=True)
    (path / "bin/sh").write_bytes(images.busybox())
    (path / "bin/sh").chmod(0o755)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(PROGRAM), *arguments]
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


def test_user_namespaces_that_are_switched_off_are_explained(tmp_path: Path) -> None:
    # Inside a user namespace the limit is its own, so switching them off there harms nobody.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = [sys.executable, "-I", "-S", str(PROGRAM), "--root", str(tmp_path), "--", "/bin/true"]
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
    root = tmp_path / "root"
    make_root(root)
    (root / "file").write_text("given")
    script = "read x < /file; echo $x; echo changed > /file; read x < /file; echo $x; exit 3"
    done = run("--copy", "--root", str(root), "--", "/bin/sh", "-c", script)
    assert (done.stdout, done.returncode) == ("given\nchanged\n", 3), done.stderr
    assert (root / "file").read_text() == "given"
    assert sorted(path.name for path in root.iterdir()) == ["bin", "file"]


def test_links_of_the_image_do_not_lead_mounts_out(tmp_path: Path) -> None:
    """A mount point that is a link is followed inside the new root, or replaced."""
    root = tmp_path / "root"
    make_root(root)
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
