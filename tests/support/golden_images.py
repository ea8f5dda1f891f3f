"""Recipes whose digests are written down, on an archive that has something for every step of a build.

The packages are not compressed, so that their own digests, and with them the locks, are the same
everywhere. What is here may be added to and never changed: digests of it are in
``tests/data/format-1/``, and they were made by the code that format 1 was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tests.support.deb import Deb, Item, folder, hardlink, symlink, text
from tests.support.world import BASE, HELLO, LIBHELLO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _script(*lines: str) -> str:
    return "\n".join(("#!/bin/sh", "set -e", *lines, ""))


def _page(name: str) -> list[Item]:
    return [
        text(f"usr/share/man/man1/{name}.1", f"{name}(1)\n"),
        text(f"usr/share/doc/{name}/copyright", "License: MIT\n"),
    ]


_CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUQUFBQUFBQUFBQUFBQUFBQUFBQUEwCgYIKoZIzj0EAwIw
-----END CERTIFICATE-----
"""

_PACKAGES = (
    *BASE,
    HELLO,
    LIBHELLO,
    Deb(
        "daemon",
        "2.0",
        fields={"Depends": "adduser"},
        files=[
            text("usr/sbin/daemon", "#!/bin/sh\n", 0o755),
            text("usr/lib/tmpfiles.d/daemon.conf", "d /run/daemon 0750 daemon daemon -\n"),
            text("usr/lib/sysusers.d/daemon.conf", 'u watcher - "Watches" /var/lib/watcher\ng watchers -\n'),
            text("usr/share/daemon/daemon.conf", "workers = 4\n"),
            folder("var/lib/daemon", 0o700),
            *_page("daemon"),
        ],
        control_files={
            "postinst": _script(
                'if [ "$1" = configure ]; then',
                "  adduser --system --group --home /var/lib/daemon --no-create-home daemon",
                "  chown daemon:daemon /var/lib/daemon",
                "  mkdir -p /var/log/daemon",
                "  chown daemon:adm /var/log/daemon || true",
                "  for one in first second; do",
                "    cp -p /usr/share/daemon/daemon.conf /etc/daemon-$one.conf",
                "  done",
                "  touch /etc/daemon.stamp",
                "fi",
            )
        },
    ),
    Deb("adduser", "3", architecture="all", files=[text("usr/sbin/adduser", "#!/bin/sh\n", 0o755)]),
    *(
        Deb(
            f"editor-{name}",
            files=[text(f"usr/bin/editor-{name}", "#!/bin/sh\n", 0o755), *_page(f"editor-{name}")],
            control_files={
                "postinst": _script(
                    f"update-alternatives --install /usr/bin/editor editor /usr/bin/editor-{name} {priority} "
                    "--slave /usr/share/man/man1/editor.1 editor.1 "
                    f"/usr/share/man/man1/editor-{name}.1"
                )
            },
        )
        for name, priority in (("small", 30), ("large", 70))
    ),
    Deb(
        "links",
        files=[
            symlink("usr/lib/links/table", "../../share/doc/data/table.txt"),
            symlink("usr/lib/links/own", "/usr/share/doc/links/examples/own.txt"),
            text("usr/share/doc/links/examples/own.txt", "own\n"),
            text("usr/share/doc/links/examples/other.txt", "other\n"),
            *_page("links"),
        ],
        fields={"Depends": "data"},
    ),
    Deb(
        "data",
        files=[
            text("usr/share/doc/data/table.txt", "1 2 3\n"),
            text("usr/share/doc/data/rest.txt", "4 5 6\n"),
            text("usr/share/locale/de/LC_MESSAGES/data.mo", "mo"),
            text("usr/share/info/data.info", "info"),
            hardlink("usr/share/info/data-again.info", "usr/share/info/data.info"),
            text("usr/lib/data/original", "same"),
            hardlink("usr/lib/data/again", "usr/lib/data/original"),
            *_page("data"),
        ],
        control_files={"md5sums": ""},
    ),
    Deb(
        "big",
        files=[
            folder("usr/lib/big", 0o775, gid=42, group="shadow"),
            Item("usr/lib/big/blob", bytes(range(256)) * 6000),
            text("usr/bin/raise", "#!/bin/sh\n", 0o4755),
            Item("lib/big.so", b"\x7fELF" + bytes(60)),
        ],
    ),
    Deb(
        "postgresql-common",  # diverts what the next one ships
        files=[text("usr/bin/pg_config", "common\n", 0o755)],
        fields={"Depends": "libpq-dev"},
    ),
    Deb("libpq-dev", files=[text("usr/bin/pg_config", "#!/bin/sh\n", 0o755)]),
    Deb(
        "successor",
        "2.0",
        fields={"Replaces": "libhello (<< 2)"},
        files=[text("usr/lib/hello/data", "newer\n"), text("usr/lib/hello/more", "more\n")],
    ),
    Deb(
        "ca-certificates",
        architecture="all",
        files=[
            text("usr/share/ca-certificates/example/Root_A.crt", _CERTIFICATE),
            text("usr/share/ca-certificates/example/Root_B.crt", _CERTIFICATE.replace("MIIB", "MIIC")),
        ],
    ),
    Deb(
        "libc-bin",
        files=[
            text("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n"),
            text("etc/ld.so.conf.d/local.conf", "/usr/local/lib\n"),
            text("sbin/ldconfig", "#!/bin/sh\n", 0o755),
        ],
        conffiles=["/etc/ld.so.conf", "/etc/ld.so.conf.d/local.conf"],
    ),
    Deb(
        "shell",
        files=[text("bin/sh", "#!/bin/sh\n", 0o755), text("usr/share/debianutils/shells", "/bin/sh\n")],
        fields={"Essential": "yes", "Recommends": "data"},
        control_files={"postinst": _script("add-shell /bin/sh", "deb-systemd-helper enable shell.service")},
    ),
)
PACKAGES = tuple(Deb(**{**package.__dict__, "compression": "none"}) for package in _PACKAGES)

_FILES = """files:
  - {from: app, to: /app, ignore: ["*.tmp", "/skipped/", 'star\\*', '[^bk]*.log'], owner: nonroot}
  - {text: "mine\\n", to: /etc/hello.conf, mode: "0640"}
  - {text: "tool\\n", to: /bin/tool, mode: "4755", owner: "app:staff"}
  - {link: tool, to: /usr/bin/alias}
  - {directory: true, to: /srv/data, mode: "0750", owner: "1234:1234"}
  - {text: "own CA\\n", to: /usr/local/share/ca-certificates/own.crt}
  - {text: "lib\\n", to: /usr/local/lib/libown.so.1}
users: [{name: app, group: staff, groups: [watch], home: /srv, shell: /bin/sh, comment: The app}]
groups: [{name: staff, gid: 600}, {name: watch}]
"""

_RUN = """description: An image with all that a recipe can say
labels: {team: rock, a: b}
annotations: {org.example.note: yes it is}
environment: {B: "2", A: "1", PATH: /opt/bin}
run:
  user: nonroot
  command: [/bin/hello, --loud]
  arguments: [a, b]
  directory: /srv
  ports: {http: 8080, dns: 53/udp}
  volumes: {data: /data}
  stop_signal: SIGINT
  health: {command: /bin/hello, interval: 30, timeout: 5, retries: 3}
"""


class GoldenImage(msgspec.Struct, frozen=True):
    """A recipe: its packages as YAML, its further lines, and options of ``pumice build``."""

    packages: str = "[hello]"
    extra: str = ""
    options: tuple[str, ...] = ()
    environment: dict[str, str] = {}


IMAGES = {
    "plain": GoldenImage(),
    "everything-said": GoldenImage("[hello, shell]", _RUN),
    "files-and-users": GoldenImage("[hello, libc-bin, ca-certificates]", _FILES),
    "accounts": GoldenImage("[daemon]"),
    "accounts-without-base": GoldenImage("[daemon]", "base: none\n"),
    "alternatives": GoldenImage("[editor-small, editor-large]"),
    "alternatives-with-pages": GoldenImage("[editor-small, editor-large]", "include: [man]\n"),
    "essential": GoldenImage("[hello]", "base: essential\nrecommends: true\n"),
    "links": GoldenImage("[links]"),
    "links-single": GoldenImage("[links, big]", "layers: single\n"),
    "links-packages": GoldenImage("[links, big, hello]", "layers: packages\n"),
    "included": GoldenImage("[links, data]", "include: [docs, man, info, locales, lintian]\n"),
    "diverted": GoldenImage("[postgresql-common]"),
    "replaced": GoldenImage("[libhello, successor]"),
    "large": GoldenImage("[big, hello]", "files: [{text: x, to: /usr/lib/big/blob}]\n"),
    "hardlink-to-hidden": GoldenImage("[data]", "files: [{text: x, to: /usr/lib/data/original}]\n"),
    "libraries": GoldenImage("[libc-bin, big, ca-certificates]"),
    "dated": GoldenImage("[hello]", environment={"SOURCE_DATE_EPOCH": "86400"}),
    "all": GoldenImage(
        "[daemon, editor-small, editor-large, links, big, hello, ca-certificates, libc-bin, shell]",
        _FILES + _RUN + "layers: auto\n",
    ),
}


def sources(folder_: Path) -> None:
    """Write the files that the recipes copy into ``folder_``."""
    for path, content in _sources():
        (folder_ / path).parent.mkdir(parents=True, exist_ok=True)
        (folder_ / path).write_bytes(content)
    (folder_ / "app/run").chmod(0o755)
    (folder_ / "app/to-b").symlink_to("b")


def _sources() -> Sequence[tuple[str, bytes]]:
    large = bytes(range(256)) * 8192
    return (
        *(("app/b", b"b"), ("app/a/deep", b"deep"), ("app/x.tmp", b"t"), ("app/run", b"#!/bin/sh\n")),
        *(("app/skipped/x", b"x"), ("app/star*", b"s"), ("app/a.log", b"a"), ("app/k.log", b"k")),
        ("app/large", large),
    )
