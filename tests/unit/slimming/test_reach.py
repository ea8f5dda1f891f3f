"""What stays in an image: evidence from small trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.slimming.reach import EntryPoints, find_reach
from tests.support.checked_images import LIBC, checked_image
from tests.support.objects import program

if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARIES = "usr/lib/x86_64-linux-gnu"


def reach(
    paths: Mapping[str, str | bytes],
    command: tuple[str, ...] = ("/usr/bin/app",),
    *,
    own: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    **entry_points: object,
) -> dict[str, str]:
    """Return what stays of packages, with the reasons; ``own`` are paths of no package."""
    modes = {path: 0o755 for path in paths if path.startswith(("usr/bin/", "opt/"))}
    image = checked_image(paths, command, modes=modes, environment=environment or {})
    owners = {
        path: path.split("/")[2] if path.startswith("usr/share/") else "pkg"
        for path, node in image.tree.nodes.items()
        if path not in own and node.entry.kind != "dir"
    }
    return find_reach(image, owners, EntryPoints(**entry_points))  # type: ignore[arg-type]  # keywords of tests


def test_a_program_keeps_what_it_is_linked_with_and_the_links_to_it() -> None:
    kept = reach(
        {
            **LIBC,
            "usr/bin/app": program(["libx.so.1"]),
            f"{LIBRARIES}/libx.so.1": "-> libx.so.1.2",
            f"{LIBRARIES}/libx.so.1.2": program(["libc.so.6"], interpreter=""),
            f"{LIBRARIES}/libother.so.1": program(interpreter=""),
        }
    )
    assert f"{LIBRARIES}/libother.so.1" not in kept
    assert kept["usr/bin/app"] == "run.command starts it"
    assert kept[f"{LIBRARIES}/libx.so.1.2"] == "/usr/bin/app needs it"
    assert kept[f"{LIBRARIES}/libx.so.1"] == f"it leads to /{LIBRARIES}/libx.so.1.2"


def test_strings_of_programs_keep_files_and_libraries_that_they_load_by_name() -> None:
    app = program() + b"\0/usr/share/app/data.bin\0libplugin.so.2\0/usr/share/other\0"
    kept = reach(
        {
            **LIBC,
            "usr/bin/app": app,
            "usr/share/app/data.bin": "x",
            "usr/share/app/unused.bin": "x",
            f"{LIBRARIES}/libplugin.so.2": program(interpreter=""),
            "usr/share/other/all": "a program names this directory of its own",
        }
    )
    assert kept["usr/share/app/data.bin"] == "/usr/bin/app names it"
    assert kept[f"{LIBRARIES}/libplugin.so.2"] == "/usr/bin/app names it"
    assert "usr/share/other/all" in kept
    assert "usr/share/app/unused.bin" not in kept


def test_a_library_keeps_what_it_names_relative_to_a_directory_that_it_names() -> None:
    library = program(interpreter="") + b"\0/usr/lib/tls\0tls.cnf\0sub/more.cnf\0"
    kept = reach(
        {
            **LIBC,
            "usr/bin/app": program(["libtls.so.3"]),
            f"{LIBRARIES}/libtls.so.3": library,
            "usr/lib/tls/tls.cnf": "x",
            "usr/lib/tls/sub/more.cnf": "x",
            "usr/lib/tls/engine.so": program(interpreter=""),
        }
    )
    assert "usr/lib/tls/tls.cnf" in kept
    assert "usr/lib/tls/sub/more.cnf" in kept
    assert "usr/lib/tls/engine.so" not in kept


def test_common_directories_and_binary_data_keep_nothing() -> None:
    kept = reach(
        {
            **LIBC,
            "usr/bin/app": program() + b"\0/usr/bin\0/usr/share\0/etc/cache.db\0",
            "etc/cache.db": b"\1\0/usr/bin/other\0",
            "usr/bin/other": program(),
            "usr/share/data/file": "x",
        }
    )
    assert "usr/bin/other" not in kept
    assert "usr/share/data/file" not in kept


def test_an_interpreter_keeps_its_modules_except_those_that_nobody_imports() -> None:
    kept = reach(
        {
            **LIBC,
            "usr/bin/python3.11": program(),
            "usr/bin/python3": "-> python3.11",
            "usr/lib/python3.11/os.py": "x",
            "usr/lib/python3.11/test/support.py": "x",
            "usr/lib/python3/dist-packages/yaml.py": "x",
            "app.py": "#!/usr/bin/python3\n",
        },
        ("/usr/bin/python3", "/app.py"),
    )
    assert "usr/lib/python3.11/os.py" in kept
    assert "usr/lib/python3/dist-packages/yaml.py" in kept
    assert "usr/lib/python3.11/test/support.py" not in kept
    assert "usr/bin/python3" in kept


def test_scripts_of_the_recipe_and_configuration_count_but_accounts_do_not() -> None:
    kept = reach(
        {
            **LIBC,
            "usr/bin/app": program(),
            "usr/bin/helper": program(),
            "usr/bin/shell": program(),
            "usr/lib/modules/mod_a.so": program(interpreter=""),
            "etc/app.conf": "load /usr/lib/modules/mod_a.so\n",
            "etc/passwd": "root:x:0:0::/root:/usr/bin/shell\n",
            "opt/start": "#!/usr/bin/app\n/usr/bin/helper\n",
        },
        own=("opt/start", "etc/passwd"),
    )
    assert "usr/bin/helper" in kept
    assert "usr/lib/modules/mod_a.so" in kept
    assert "usr/bin/shell" not in kept
    assert kept["etc/app.conf"] == "configuration"


def test_tests_traces_and_the_environment_are_entry_points() -> None:
    kept = reach(
        {
            **LIBC,
            "usr/bin/app": program(),
            "usr/bin/client": program(),
            "usr/lib/data/traced": "x",
            "usr/lib/locale/de_DE.utf8/LC_TIME": "x",
            "usr/share/zoneinfo/Asia/Tokyo": "x",
            "usr/share/zoneinfo/Asia/Seoul": "x",
        },
        environment={"LANG": "de_DE.utf8", "TZ": "Asia/Tokyo"},
        commands=(("/usr/bin/client",),),
        traced=("/usr/lib/data/traced", "/usr/lib/data", "/nowhere", "/"),
    )
    assert "usr/bin/client" in kept
    assert kept["usr/lib/data/traced"] == "a traced run used it"
    assert "usr/lib/locale/de_DE.utf8/LC_TIME" in kept
    assert "usr/share/zoneinfo/Asia/Tokyo" in kept
    assert "usr/share/zoneinfo/Asia/Seoul" not in kept


def test_a_named_package_of_which_nothing_is_reached_stays_with_all_its_files() -> None:
    paths = {**LIBC, "usr/bin/app": program(), "usr/share/zones/Berlin": "x", "usr/share/fonts/a": "x"}
    kept = reach(paths, named=frozenset({"zones"}))
    assert kept["usr/share/zones/Berlin"] == "the recipe names zones"
    assert "usr/share/fonts/a" not in kept
