"""The code cache has what the sources have, and is not used if anything about it is different."""

from __future__ import annotations

import json
import marshal
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import pumice
from pumice.cli import code_cache

SOURCES = Path(pumice.__file__).parent
PROBE = """
import json, sys
{first}
from pumice.cli import code_cache
modules = code_cache.install()
if modules is None and code_cache.is_writable():
    from pumice.cli.code_cache_writer import Recorder
    modules = Recorder()
import pumice.runtime.quick.start
import pumice.runtime.sandbox.image_program
if modules is not None:
    modules.save()
result = {{}}
for name, module in sys.modules.items():
    if name.startswith("pumice.") and not name.startswith("pumice.cli"):
        spec = module.__spec__
        result[name] = [
            type(module.__loader__).__name__,
            [module.__name__, module.__file__, module.__package__, module.__doc__],
            getattr(module, "__path__", None),
            [spec.name, spec.origin, spec.cached, spec.parent, spec.submodule_search_locations],
            getattr(module, "CHANGED", False),
        ]
print(json.dumps([type(modules).__name__, result]))
"""
ERRORS, START, JOIN = "errors.py", "runtime/quick/start.py", "runtime/quick/join.py"
"""Sources: of the first group, of another, and of one that the probe does not import."""

PACKAGES = ("cli", "runtime", "launch", "quick", "sandbox", "pods", "supervisor", "store")


class Installation:
    """A copy of the package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "pumice"
        shutil.copytree(SOURCES, self.package, ignore=_list_others)

    def start(self, first: str = "", **environment: str) -> tuple[str, dict[str, Any]]:
        """Import the modules of a quick start in a new interpreter, which executes ``first`` before.

        Returns what finds them: ``CodeCache``, ``Recorder`` or ``NoneType``; and what is known of each.
        """
        process = subprocess.run(
            [sys.executable, "-c", PROBE.format(first=first)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(self.folder), **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        finder, modules = json.loads(process.stdout)
        return finder, modules

    @property
    def caches(self) -> list[Path]:
        return sorted((self.package / "cli" / "__pycache__").glob("*.group*"))

    def edit(self, source: str) -> None:
        with (self.package / source).open("a") as file:
            file.write("CHANGED = True\n")


def _list_others(_: str, names: list[str]) -> list[str]:
    """Return what no quick start imports."""
    return [name for name in names if name not in PACKAGES and not name.endswith(".py")]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an installation with a code cache."""
    installed = Installation(tmp_path)
    assert installed.start()[0] == "Recorder"
    assert len(installed.caches) == 1
    return installed


def test_the_next_start_imports_the_same_modules_from_the_cache(installation: Installation) -> None:
    (cache,) = installation.caches
    finder, cached = installation.start()
    assert finder == "CodeCache"
    assert {loader for loader, *_ in cached.values()} == {"_CachedLoader"}
    cache.unlink()
    finder, imported = installation.start()
    assert finder == "Recorder"
    assert all(imported[name][1:] == properties for name, (_, *properties) in cached.items())


LIST_PYTHON = """
import importlib, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
files = {name: getattr(sys.modules[name], "__file__", None) or "" for name in set(sys.modules) - before}
print(*(name for name, file in files.items() if file.endswith(".py") and not name.startswith("pumice")))
"""


@pytest.mark.parametrize("name", code_cache.GROUPS)
def test_a_quick_start_loads_no_module_of_python_that_is_written_in_python(name: str) -> None:
    """Each of them takes as long as several of ours, which come from one file."""
    process = subprocess.run(
        [sys.executable, "-c", LIST_PYTHON, name], capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == ["__future__"]


def test_a_start_loads_no_module_that_is_imported_for_types_only(installation: Installation) -> None:
    (cache,) = installation.caches
    cache.unlink()
    source = installation.package / ERRORS
    types = (
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from pumice.runtime.quick.start import run_by_plan\n"
    )
    source.write_text(source.read_text() + types)
    assert installation.start()[0] == "Recorder"
    (cache,) = installation.caches
    content = cache.read_bytes()
    _, index = marshal.loads(content[: code_cache.HEADER_SIZE])
    offset, size = index[code_cache.GROUPS[0]]
    names = {name for name, *_ in marshal.loads(content[offset : offset + size])}
    assert "pumice.errors" in names
    assert "pumice.runtime.quick.start" not in names


@pytest.mark.parametrize("source", [ERRORS, START, JOIN])
def test_a_changed_source_is_executed_and_cached_again(installation: Installation, source: str) -> None:
    installation.edit(source)
    name = f"pumice.{source[:-3].replace('/', '.')}"
    results = [installation.start(f"import {name}" if source == JOIN else "") for _ in range(4)]
    assert all(modules[name][-1] for _, modules in results)
    finders = [finder for finder, _ in results]
    assert finders.count("Recorder") <= 1
    assert finders[-1] == "CodeCache"


def test_a_source_of_the_same_size_and_age_is_not_the_same(installation: Installation) -> None:
    source = installation.package / ERRORS
    status, content = source.stat(), source.read_bytes()
    source.unlink()
    source.write_bytes(content)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert installation.start()[0] == "Recorder"


def test_a_removed_source_is_not_imported(installation: Installation) -> None:
    (installation.package / START).unlink()
    with pytest.raises(subprocess.CalledProcessError) as failure:
        installation.start()
    assert "No module named 'pumice.runtime.quick.start'" in failure.value.stderr


def test_another_build_of_python_does_not_use_the_cache(installation: Installation) -> None:
    assert installation.start("sys.version += ' (rebuilt)'")[0] == "Recorder"
    assert installation.start("sys.version += ' (rebuilt)'")[0] == "CodeCache"
    assert installation.start()[0] == "Recorder"


def test_each_level_of_optimization_has_a_cache(installation: Installation) -> None:
    assert installation.start(PYTHONOPTIMIZE="2")[0] == "Recorder"
    assert installation.start(PYTHONOPTIMIZE="2")[0] == "CodeCache"
    assert installation.start()[0] == "CodeCache"


def test_a_copy_of_an_installation_does_not_use_the_cache(installation: Installation, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(installation.package, copy / "pumice")
    assert installation.start(PYTHONPATH=str(copy))[0] == "Recorder"
    assert installation.start()[0] == "CodeCache"


@pytest.mark.parametrize("damage", ["empty", "short", "zeros", "other", "group"])
def test_a_damaged_cache_is_written_again(installation: Installation, damage: str) -> None:
    (cache,) = installation.caches
    data = cache.read_bytes()
    changed = {
        "empty": b"",
        "short": data[: code_cache.HEADER_SIZE + 100],
        "zeros": bytes(len(data)),
        "other": b"i\0\0\0\0" + data,
        "group": data[: code_cache.HEADER_SIZE] + bytes(len(data)),
    }
    cache.write_bytes(changed[damage])
    assert installation.start()[0] == "Recorder"
    assert installation.start()[0] == "CodeCache"


@pytest.mark.parametrize("writer", ["group", "others", "link"])
def test_a_cache_that_others_can_write_is_not_used(installation: Installation, writer: str) -> None:
    (cache,) = installation.caches
    if writer == "link":
        cache.rename(installation.folder / "elsewhere")
        cache.symlink_to(installation.folder / "elsewhere")
    else:
        cache.chmod(0o664 if writer == "group" else 0o646)
    assert installation.start()[0] == "Recorder"
    assert not cache.is_symlink()
    assert cache.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")
def test_a_cache_of_another_user_is_not_used(installation: Installation) -> None:
    (cache,) = installation.caches
    os.chown(cache, 12345, 0)
    assert installation.start()[0] == "Recorder"
    # Root's cache is used for the sources of another user, who can replace it.
    for path in (installation.package, *installation.package.rglob("*.py")):
        os.chown(path, 12345, 0)
    installation.start()
    assert installation.start()[0] == "CodeCache"


def test_a_read_only_installation_has_no_cache_and_uses_an_existing_one(
    installation: Installation,
) -> None:
    (cache,) = installation.caches
    read_only = "import os; os.access = lambda path, mode: mode != os.W_OK"  # root can write everywhere
    assert installation.start(read_only)[0] == "CodeCache"
    cache.unlink()
    assert installation.start(read_only)[0] == "NoneType"
    assert installation.caches == []


def test_no_cache_is_written_without_compiled_modules(installation: Installation) -> None:
    (cache,) = installation.caches
    cache.unlink()
    assert installation.start(PYTHONDONTWRITEBYTECODE="1")[0] == "NoneType"
    assert installation.caches == []


def test_a_failing_disk_leaves_nothing_behind(installation: Installation) -> None:
    (cache,) = installation.caches
    cache.unlink()
    full = "import os\ndef fail(*_):\n    raise OSError(28, 'full')\nos.fsync = fail"
    assert installation.start(full)[0] == "Recorder"
    assert installation.caches == []


def test_what_a_killed_writer_left_is_completed(installation: Installation) -> None:
    (cache,) = installation.caches
    cache.unlink()
    kill = "import os, signal; os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            installation.start(kill)
    (left,) = installation.caches
    assert left.suffix == ".new"
    assert installation.start()[0] == "Recorder"
    assert installation.start()[0] == "CodeCache"
    assert installation.caches == [cache]


def test_a_package_in_a_zip_archive_has_no_cache(installation: Installation, tmp_path: Path) -> None:
    archive = tmp_path / "pumice.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for source in installation.package.rglob("*.py"):
            file.write(source, source.relative_to(tmp_path))
    finder, modules = installation.start(PYTHONPATH=str(archive))
    assert finder == "NoneType"
    assert modules["pumice.runtime.quick.start"][0] == "zipimporter"
