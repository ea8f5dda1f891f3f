from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pumice.formats import elf, ldcache
from pumice.packing.effects.loader_cache import generator_name, write_loader_cache
from pumice.packing.effects.model import EffectSettings
from tests.support.objects import shared_object
from tests.support.peers import need
from tests.support.texttree import given, package, shown, tree

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


def contents() -> dict[str, str | bytes]:
    paths: dict[str, str | bytes] = dict(CONF)
    for path, what in LIBRARIES.items():
        if what is None:
            paths[path] = "GROUP ( libc.so.6 )\n" * 20
        else:
            paths[path] = what if what.startswith("-> ") else shared_object(what)
    paths["usr/lib/x86_64-linux-gnu/libarm.so.1"] = shared_object("libarm.so.1", machine=183)
    paths["usr/lib/libwine.so.1"] = shared_object("libwine.so.1", bits=32, machine=3)
    return paths


def facts(paths: dict[str, str | bytes]) -> dict[str, elf.SharedObject]:
    found: dict[str, elf.SharedObject] = {}
    for path, data in paths.items():
        if isinstance(data, bytes):
            known = elf.read_shared_object(lambda at, size, data=data: data[at : at + size], len(data))  # type: ignore[misc]
            if known:
                found[path] = known
    return found


def test_what_is_found_where() -> None:
    paths = contents()
    result = write_loader_cache(given(tree(paths, [LIBC], elf=facts(paths))))
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
    assert shown(result.generated) == (
        "0644 0:0 etc/ld.so.cache\n"
        "usr/lib/x86_64-linux-gnu/libmore.so.10 -> libmore.so.10.10\n"
        "usr/local/lib/libz.so.1 -> libz.so.1.9"
    )


def test_ldconfig_writes_the_same(tmp_path: Path) -> None:
    program = need("ldconfig")
    paths = contents()
    del paths["usr/lib/libwine.so.1"]  # of 32-bit libraries ldconfig looks for libc.so.6 among their needs
    whole = tree(paths, [package("libc6", "0")], elf=facts(paths))
    for path, node in whole.nodes.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if node.entry.kind == "dir":
            place.mkdir(exist_ok=True)
        elif node.entry.kind == "symlink":
            place.symlink_to(node.entry.link)
        else:
            place.write_bytes(whole.read(path))
    result = subprocess.run([program, "-r", str(tmp_path)], capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"ldconfig cannot work in a folder here: {result.stderr.strip()}")
    real = (tmp_path / "etc/ld.so.cache").read_bytes()
    version = ldcache.read_cache(real)[1]
    ours, _ = ldcache.read_cache(write_loader_cache(given(whole)).generated[-1].content)
    assert ldcache.encode_cache(ours, version) == real
    links = {
        item.entry.path: item.entry.link
        for item in write_loader_cache(given(whole)).generated
        if item.entry.link
    }
    for path, target in links.items():
        assert (tmp_path / path).readlink().as_posix() == target


def test_nothing_without_the_c_library_or_for_machines_that_nobody_tried() -> None:
    assert write_loader_cache(given(tree(CONF))).generated == ()
    assert write_loader_cache(given(tree(CONF, [LIBC]), EffectSettings(architecture="s390x"))).generated == ()


def test_a_configuration_is_made_where_none_came() -> None:
    result = write_loader_cache(given(tree({"usr/lib/": ""}, [LIBC])))
    assert "etc/ld.so.conf'" not in shown(result.generated)
    assert [item.entry.path for item in result.generated] == ["etc/ld.so.conf", "etc/ld.so.cache"]


def test_a_configuration_that_includes_itself_ends() -> None:
    paths = {"etc/ld.so.conf": "include /etc/*.conf\n/usr/lib\n", "usr/lib/": ""}
    assert write_loader_cache(given(tree(paths, [LIBC]))).generated


def test_the_generator_is_named_after_the_package() -> None:
    assert generator_name("1:2.41-12").endswith("(Debian GLIBC 2.41-12) stable release version 2.41")
