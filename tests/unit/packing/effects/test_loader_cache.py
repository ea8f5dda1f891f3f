from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pumice.formats import elf, ldcache
from pumice.packing.effects.loader_cache import generator_name, write_loader_cache
from pumice.packing.effects.model import EffectSettings
from tests.support.objects import shared_object
from tests.support.peers import need
from tests.support.texttree import effect_input, format_entries, package, tree

if TYPE_CHECKING:
    from pathlib import Path

LIBC = package("libc6", "2.36-9+deb12u10")
CONF = {
    "etc/ld.so.conf": "# comment\ninclude /etc/ld.so.conf.d/*.conf\n",
    "etc/ld.so.conf.d/b.conf": "/opt/b\n/usr/lib\n",
    "etc/ld.so.conf.d/a.conf": "/usr/local/lib # first\n\n  /lib/x86_64-linux-gnu\n/nowhere\n",
    "etc/ld.so.conf.d/.hidden.conf": "/opt/hidden\n",
    "lib": "-> usr/lib",
}
LIBRARIES = {
    "usr/local/lib/libz.so.1.9": "libz.so.1",
    "usr/lib/x86_64-linux-gnu/libz.so.1.2.13": "libz.so.1",
    "usr/lib/x86_64-linux-gnu/libz.so.1": "-> libz.so.1.2.13",
    "usr/lib/x86_64-linux-gnu/libz.so": "-> libz.so.1.2.13",
    "usr/lib/x86_64-linux-gnu/libm.so.6": "libm.so.6",
    "usr/lib/x86_64-linux-gnu/libmore.so.10.2": "libmore.so.10",
    "usr/lib/x86_64-linux-gnu/libmore.so.10.10": "libmore.so.10",
    "usr/lib/x86_64-linux-gnu/libnone.so": "",
    "usr/lib/x86_64-linux-gnu/libalias.so": "-> libm.so.6",
    "usr/lib/x86_64-linux-gnu/libdangling.so.1": "-> nowhere",
    "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": "ld-linux-x86-64.so.2",
    "usr/lib/x86_64-linux-gnu/plugin.so": "plugin.so",
    "usr/lib/x86_64-linux-gnu/libscript.so": None,
    "usr/lib/libtop.so.1": "libtop.so.1",
    "opt/b/libz.so.1": "libz.so.1",
    "opt/hidden/libh.so.1": "libh.so.1",
}


def file_contents() -> dict[str, str | bytes]:
    paths: dict[str, str | bytes] = dict(CONF)
    for path, soname in LIBRARIES.items():
        if soname is None:
            paths[path] = "GROUP ( libc.so.6 )\n" * 20
        else:
            paths[path] = soname if soname.startswith("-> ") else shared_object(soname)
    paths["usr/lib/x86_64-linux-gnu/libarm.so.1"] = shared_object("libarm.so.1", machine=183)
    paths["usr/lib/libwine.so.1"] = shared_object("libwine.so.1", bits=32, machine=3)
    return paths


def identify_shared_objects(paths: dict[str, str | bytes]) -> dict[str, elf.SharedObject]:
    shared_objects = {path: _identify(data) for path, data in paths.items() if isinstance(data, bytes)}
    return {path: facts for path, facts in shared_objects.items() if facts}


def _identify(data: bytes) -> elf.SharedObject | None:
    return elf.read_shared_object(lambda offset, size: data[offset : offset + size], len(data))


def test_libraries_are_found_in_the_configured_directories() -> None:
    paths = file_contents()
    result = write_loader_cache(effect_input(tree(paths, [LIBC], elf=identify_shared_objects(paths))))
    libraries, made_by = ldcache.read_cache(result.generated[-1].content)
    assert made_by == "ldconfig (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36"
    assert [library.path for library in libraries] == [
        "/usr/local/lib/libz.so.1",
        "/lib/x86_64-linux-gnu/libz.so.1",
        "/opt/b/libz.so.1",
        "/lib/x86_64-linux-gnu/libz.so",
        "/usr/lib/libwine.so.1",
        "/usr/lib/libtop.so.1",
        "/lib/x86_64-linux-gnu/libnone.so",
        "/lib/x86_64-linux-gnu/libmore.so.10",
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    ]
    assert format_entries(result.generated) == (
        "0644 0:0 etc/ld.so.cache\n"
        "usr/lib/x86_64-linux-gnu/libmore.so.10 -> libmore.so.10.10\n"
        "usr/local/lib/libz.so.1 -> libz.so.1.9"
    )


def test_the_cache_is_identical_to_ldconfigs(tmp_path: Path) -> None:
    program = need("ldconfig")
    paths = file_contents()
    del paths["usr/lib/libwine.so.1"]  # of 32-bit libraries ldconfig looks for libc.so.6 among their needs
    image_tree = tree(paths, [package("libc6", "0")], elf=identify_shared_objects(paths))
    for path, node in image_tree.nodes.items():
        file_path = tmp_path / path
        file_path.parent.mkdir(parents=True, exist_ok=True)
        if node.entry.kind == "dir":
            file_path.mkdir(exist_ok=True)
        elif node.entry.kind == "symlink":
            file_path.symlink_to(node.entry.link)
        else:
            file_path.write_bytes(image_tree.read(path))
    process = subprocess.run([program, "-r", str(tmp_path)], capture_output=True, text=True, check=False)
    if process.returncode:
        pytest.skip(f"ldconfig cannot work in a folder here: {process.stderr.strip()}")
    real = (tmp_path / "etc/ld.so.cache").read_bytes()
    version = ldcache.read_cache(real)[1]
    our_libraries, _ = ldcache.read_cache(write_loader_cache(effect_input(image_tree)).generated[-1].content)
    assert ldcache.encode_cache(our_libraries, version) == real
    links = {
        item.entry.path: item.entry.link
        for item in write_loader_cache(effect_input(image_tree)).generated
        if item.entry.link
    }
    for path, target in links.items():
        assert (tmp_path / path).readlink().as_posix() == target


def test_without_libc_or_on_an_unsupported_architecture_nothing_is_generated() -> None:
    assert write_loader_cache(effect_input(tree(CONF))).generated == ()
    assert (
        write_loader_cache(effect_input(tree(CONF, [LIBC]), EffectSettings(architecture="s390x"))).generated
        == ()
    )


def test_a_missing_configuration_is_created() -> None:
    result = write_loader_cache(effect_input(tree({"usr/lib/": ""}, [LIBC])))
    assert "etc/ld.so.conf'" not in format_entries(result.generated)
    assert [item.entry.path for item in result.generated] == ["etc/ld.so.conf", "etc/ld.so.cache"]


def test_a_configuration_that_includes_itself_is_read_once() -> None:
    paths = {"etc/ld.so.conf": "include /etc/*.conf\n/usr/lib\n", "usr/lib/": ""}
    assert write_loader_cache(effect_input(tree(paths, [LIBC]))).generated


def test_the_generator_name_has_the_version_of_the_package() -> None:
    assert generator_name("1:2.41-12").endswith("(Debian GLIBC 2.41-12) stable release version 2.41")
