"""Files of the recipe affect certificates, libraries, users and scripts like files of packages do."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.certificates import pem
from tests.support.deb import Deb, folder, text
from tests.support.objects import shared_object
from tests.support.world import BASE, World

if TYPE_CHECKING:
    from collections.abc import Mapping

CERTIFICATES = Deb(
    "ca-certificates", files=[text("usr/share/ca-certificates/mozilla/one.crt", pem("one").decode())]
)
LIBC = Deb(
    "libc6",
    "2.36-9",
    files=[
        text("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n"),
        text("etc/ld.so.conf.d/libc.conf", "/usr/local/lib\n"),
        folder("usr/lib/x86_64-linux-gnu"),
    ],
)
SERVICE = Deb(
    "service",
    files=[folder("usr/sbin"), text("etc/service.conf", "package"), text("usr/share/service/template", "t")],
    control_files={
        "postinst": "#!/bin/sh\nset -e\nadduser --system --group --home /var/lib/service service\n"
        "mkdir -p /var/lib/service\nchown service:service /var/lib/service /etc/service.conf\n"
        "chmod 0750 /var/lib/service\nchmod 0640 /etc/service.conf\n"
        "cp /usr/share/service/template /etc/service.local\n"
        "for x in a b; do ucf /usr/share/service/template /etc/service.$x; done\n"
    },
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [*BASE, CERTIFICATES, LIBC, SERVICE])


def built(world: World, *arguments: str) -> dict[str, tarfile.TarInfo]:
    (world.project / "image.tar").unlink(missing_ok=True)
    world.build("-o", "tar:image.tar", *arguments)
    with tarfile.open(world.project / "image.tar") as archive:
        return {member.name.removeprefix("./").rstrip("/"): member for member in archive}


def content(world: World, path: str) -> bytes:
    with tarfile.open(world.project / "image.tar") as archive:
        file = archive.extractfile(path)
        assert file is not None
        return file.read()


def write_files(world: World, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        target = world.project / "root" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def use_format(world: World, number: int) -> None:
    lock = world.project / "recipe.lock"
    lock.write_bytes(re.sub(rb'"format": \d', b'"format": %d' % number, lock.read_bytes()))


COPY = "files: [{from: root/, to: /}]\n"


def test_a_certificate_is_trusted_however_it_came_into_the_image(world: World) -> None:
    write_files(world, {"usr/local/share/ca-certificates/deep/corp.crt": pem("two")})
    world.write(COPY, "[ca-certificates]")
    paths = built(world)
    assert content(world, "etc/ssl/certs/ca-certificates.crt") == pem("one") + pem("two")
    assert paths["etc/ssl/certs/corp.pem"].linkname == "/usr/local/share/ca-certificates/deep/corp.crt"
    assert len([path for path in paths if path.startswith("etc/ssl/certs/") and path.endswith(".0")]) == 2


def test_a_changed_certificate_is_in_the_bundle_of_a_warm_store(world: World) -> None:
    write_files(world, {"usr/local/share/ca-certificates/corp.crt": pem("two"), "app/main": b"1"})
    world.write(COPY, "[ca-certificates]")
    built(world)
    write_files(world, {"usr/local/share/ca-certificates/corp.crt": pem("three"), "app/main": b"2"})
    built(world)
    assert content(world, "etc/ssl/certs/ca-certificates.crt") == pem("one") + pem("three")
    assert world.build() == world.build(store="empty")


def test_a_library_is_in_the_loaders_cache_with_its_link(world: World) -> None:
    write_files(
        world,
        {
            "usr/local/lib/libfoo.so.1.2": shared_object("libfoo.so.1"),
            "etc/ld.so.conf.d/corp.conf": b"/opt/corp/lib\n",
            "opt/corp/lib/libcorp.so.3": shared_object("libcorp.so.3"),
        },
    )
    world.write(COPY, "[libc6]")
    paths = built(world)
    cache = content(world, "etc/ld.so.cache")
    assert b"/usr/local/lib/libfoo.so.1\0" in cache
    assert b"/opt/corp/lib/libcorp.so.3\0" in cache
    assert paths["usr/local/lib/libfoo.so.1"].linkname == "libfoo.so.1.2"


def test_configuration_in_recipe_files_creates_users_and_directories(
    world: World,
) -> None:
    write_files(
        world,
        {
            "usr/lib/sysusers.d/app.conf": b'u app 4711 "App" /var/lib/app\n',
            "etc/tmpfiles.d/app.conf": b"d /var/lib/app 0750 app app -\n",
        },
    )
    world.write(
        "files:\n  - {from: root/, to: /}\n  - {text: x, to: /var/lib/app/data, owner: app}\n"
        "run: {user: app, command: [/x]}\n",
        "[]",
    )
    paths = built(world)
    assert b"\napp:x:4711:4711:App:/var/lib/app:/usr/sbin/nologin\n" in content(world, "etc/passwd")
    assert (paths["var/lib/app"].mode, paths["var/lib/app"].uid) == (0o750, 4711)
    assert (paths["var/lib/app/data"].uid, paths["var/lib/app/data"].mode) == (4711, 0o644)


def test_recipe_files_replace_generated_files(world: World) -> None:
    write_files(world, {"etc/service.conf": b"own", "etc/service.a": b"own", "var/lib/service/data": b"d"})
    world.write(COPY, "[service]")
    paths = built(world)
    assert content(world, "etc/service.conf") == b"own"
    assert (paths["etc/service.conf"].mode, paths["etc/service.conf"].uid) == (0o644, 0)
    assert (content(world, "etc/service.a"), content(world, "etc/service.b")) == (b"own", b"t")
    assert (paths["var/lib/service"].mode, paths["var/lib/service"].uid) == (0o750, 100)
    assert (paths["var/lib/service/data"].mode, paths["var/lib/service/data"].uid) == (0o644, 0)
    assert paths["tmp"].mode == 0o1777


def test_names_are_looked_up_in_the_account_files_of_the_recipe(world: World) -> None:
    write_files(world, {"etc/passwd": b"root:x:0:0::/root:/bin/sh\nservice:x:7:8::/:/bin/sh\n", "tmp/x": b""})
    write_files(world, {"etc/group": b"root:x:0:\nservice:x:8:\n"})
    world.write(
        "files: [{from: root/, to: /}, {text: x, to: /x, owner: service}]\n"
        "run: {user: service, command: [/x]}\n",
        "[service]",
    )
    paths = built(world)
    assert (paths["x"].uid, paths["x"].gid) == (7, 8)
    assert (paths["etc/service.conf"].uid, paths["etc/service.conf"].gid) == (7, 8)
    assert paths["tmp"].mode == 0o1777  # a file of the recipe below it does not change its mode


def test_format_1_ignores_recipe_files_in_effects(world: World) -> None:
    write_files(world, {"usr/local/share/ca-certificates/corp.crt": pem("two")})
    world.write(COPY, "[ca-certificates]")
    built(world)
    use_format(world, 1)
    built(world, "--locked")
    assert content(world, "etc/ssl/certs/ca-certificates.crt") == pem("one")
    use_format(world, 2)
    built(world, "--locked")
    assert content(world, "etc/ssl/certs/ca-certificates.crt") == pem("one") + pem("two")
