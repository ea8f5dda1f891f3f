from __future__ import annotations

import marshal
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.assembly import bytecode
from pumice.errors import ImageError
from pumice.formats import platforms
from pumice.formats.oci import Platform
from pumice.packing.tree import GeneratedEntry
from tests.support import images

HERE = platforms.from_machine(os.uname().machine)
NEEDED = ("collections", "encodings", "importlib", "json", "re", "concurrent", "asyncio", "urllib")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with this machine's interpreter, its libraries, and two modules to compile."""
    root = tmp_path_factory.mktemp("python") / "root"
    binary = Path(os.path.realpath(sys.executable))
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
    for name in [str(binary), *re.findall(r"(/\S+) \(0x", listed)]:
        place = root / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(name), place)
    library = Path(os.__file__).parent
    there = root / str(library).lstrip("/")
    there.mkdir(parents=True, exist_ok=True)
    for path in library.glob("*.py"):
        shutil.copy(path, there)
    for name in NEEDED:
        shutil.copytree(library / name, there / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(library / "lib-dynload", there / "lib-dynload", dirs_exist_ok=True)
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    if not (root / "usr/bin/python3").exists():
        (root / "usr/bin/python3").symlink_to(binary)
    (root / "app/inner").mkdir(parents=True)
    (root / "app/hello.py").write_text(
        "X = {None, 'a', 'b', 1}\n\ndef f(x):\n    return x in {None, 'x', 2}\n"
    )
    (root / "app/inner/other.py").write_text("import re\nCLASSES = frozenset(dir(re))\n")
    (root / "app/broken.py").write_text("def (:\n")
    (root / "app/linked.py").symlink_to("/etc/passwd")
    (root / "app/text").write_text("no source")
    return root


def compiled(root: Path, scratch: Path, *directories: str) -> list[GeneratedEntry]:
    return bytecode.compile_bytecode(root, directories or ("app",), platform=HERE, scratch=scratch)


def test_bytecode_is_written_next_to_its_sources(python: Path, tmp_path: Path) -> None:
    before = sorted(python.rglob("*"))
    made = compiled(python, tmp_path)
    tag = sys.implementation.cache_tag
    assert [(item.entry.path, item.entry.kind, item.entry.mode) for item in made] == [
        ("app/__pycache__", "dir", 0o755),
        (f"app/__pycache__/hello.{tag}.pyc", "file", 0o644),
        ("app/inner/__pycache__", "dir", 0o755),
        (f"app/inner/__pycache__/other.{tag}.pyc", "file", 0o644),
    ]
    assert all(item.entry.mtime == item.entry.uid == 0 for item in made)
    hello = made[1].content
    assert made[1].entry.size == len(hello)
    assert hello[4:8] == b"\x01\0\0\0"  # by hash, and never checked
    assert marshal.loads(hello[16:]).co_filename == "/app/hello.py"
    assert sorted(python.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_bytecode_is_reproducible(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compiled(python, tmp_path, "app", python_library())
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    monkeypatch.chdir(tmp_path)
    old = os.umask(0o077)
    try:
        second = compiled(python, tmp_path, python_library(), "app", "no/such/folder")
    finally:
        os.umask(old)
    assert len(first) > 150
    assert first == second


def python_library() -> str:
    return str(Path(os.__file__).parent).lstrip("/")


def test_another_architecture_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot compile bytecode for linux/s390x on"):
        bytecode.compile_bytecode(tmp_path, ["app"], platform=Platform("s390x"), scratch=tmp_path)


def test_an_image_without_python_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="has no /usr/bin/python3"):
        compiled(tmp_path, tmp_path)


def imposter(tmp_path: Path, script: str) -> Path:
    """Return a root whose interpreter is a shell script."""
    root = tmp_path / "root"
    for path, item in images.shell().items():
        if isinstance(item, bytes):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(item)
            (root / path).chmod(0o755)
    for applet in ("sh", *images.APPLETS, "ln", "mkfifo", "dd", "printf", "chmod"):
        (root / "bin" / applet).unlink(missing_ok=True)
        (root / "bin" / applet).symlink_to("busybox")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3").write_text("#!/bin/sh\nOUT=$PYTHONPYCACHEPREFIX\nPATH=/bin\n" + script)
    (root / "usr/bin/python3").chmod(0o755)
    (root / "app").mkdir()
    for name in "abcdef":
        (root / f"app/{name}.py").write_text("")
    (tmp_path / "scratch").mkdir()
    return root


def test_the_output_of_a_hostile_interpreter_is_checked(tmp_path: Path) -> None:
    good = r"printf '\0\0\0\0\1\0\0\0rest'"
    script = f"""
mkdir -p $OUT/app/none $OUT/other
{good} > $OUT/app/a.cpython-311.pyc
ln -s /etc/passwd $OUT/app/b.cpython-311.pyc
mkfifo $OUT/app/c.cpython-311.pyc
mkdir $OUT/app/d.cpython-311.pyc
printf 'short' > $OUT/app/e.cpython-311.pyc
printf '\\0\\0\\0\\0\\0\\0\\0\\0timestamps' > $OUT/app/f.cpython-311.pyc
{good} > $OUT/app/nosource.cpython-311.pyc
{good} > $OUT/app/none/a.cpython-311.pyc
{good} > $OUT/other/a.cpython-311.pyc
{good} > "$OUT/app/a.cpython-311.pyc/../x.pyc" 2>/dev/null
chmod 000 $OUT/app/none
exit 0
"""
    made = compiled(imposter(tmp_path, script), tmp_path / "scratch")
    assert [item.entry.path for item in made] == ["app/__pycache__", "app/__pycache__/a.cpython-311.pyc"]
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo first; echo no module named compileall >&2; exit 1", "no module named compileall"),
        ("exit 3", "exit code 3"),
        ("kill -SEGV $$", "exit code 139"),
    ],
)
def test_a_failing_interpreter_is_reported(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        compiled(imposter(tmp_path, script), tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_nothing_is_written_to_the_callers_streams(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert compiled(imposter(tmp_path, "echo out; echo err >&2"), tmp_path / "scratch") == []
    assert capfd.readouterr() == ("", "")


@given(st.text(max_size=30))
def test_only_names_of_bytecode_files_match(name: str) -> None:
    match = bytecode._COMPILED_NAME.fullmatch(name)
    assert match is None or f"{match['module']}.{match['tag']}.pyc" == name
