from __future__ import annotations

import pytest

from pumice.packing.effects.model import EffectSettings
from pumice.packing.effects.service_directories import create_service_directories
from tests.support.texttree import effect_input, format_entries, tree

ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nmysql:x:101:102::/:/bin/false\n",
    "etc/group": "root:x:0:\nmysql:x:102:\nadm:x:4:\n",
}


def create(paths: dict[str, str], *, owner: str = "pkg", lock_format: int = 2) -> list[str]:
    settings = EffectSettings(architecture="amd64", format=lock_format)
    inputs = effect_input(tree({**ACCOUNTS, "run/": "", **paths}, owner=owner), settings)
    return format_entries(create_service_directories(inputs).generated).splitlines()


def test_directories_of_tmpfiles_below_run() -> None:
    conf = (
        "d /run/mysqld 0755 mysql root -\n"
        "D /var/run/other 2775 mysql adm -\n"
        "d /run/unknown 0755 nobody-here - -\n"
        "f /run/file 0644 - - -\n"
        "d /var/lib/persistent 0755 - - -\n"
        "d /run/%i - - -\n"
    )
    assert create({"usr/lib/tmpfiles.d/x.conf": conf}) == [
        "0755 101:0 run/mysqld/",
        "2775 101:4 run/other/",
    ]


def test_directories_of_units() -> None:
    unit = (
        "[Unit]\nRuntimeDirectory=not-this-section\n[Service]\nUser=mysql\nGroup=adm\n"
        "RuntimeDirectory=a b/c\nRuntimeDirectoryMode=0750\nStateDirectory=state\nLogsDirectory=../../etc\n"
        "ExecStartPre=-/bin/mkdir -m 740 -p /run/pre\nExecStartPre=/bin/chown mysql: /run/pre\n"
    )
    template = "[Service]\nRuntimeDirectory=each-instance\n"
    dynamic = "[Service]\nDynamicUser=yes\nRuntimeDirectory=dynamic\n"
    paths = {
        "usr/lib/systemd/system/x.service": unit,
        "usr/lib/systemd/system/y@.service": template,
        "usr/lib/systemd/system/z.service": dynamic,
        "usr/lib/systemd/system/masked.service": "-> /dev/null",
    }
    assert create(paths) == [
        "0750 101:4 run/a/",
        "0755 0:0 run/b/",
        "0750 101:4 run/b/c/",
        "0740 101:102 run/pre/",
        "0755 0:0 var/",
        "0755 0:0 var/lib/",
        "0755 101:4 var/lib/state/",
    ]


def test_directories_below_var_with_their_modes() -> None:
    unit = (
        "[Service]\nUser=mysql\nStateDirectory=db db/backup\nStateDirectoryMode=0700\n"
        "CacheDirectory=db\nLogsDirectory=db\nLogsDirectoryMode=2750\n"
    )
    script = (
        "#!/bin/sh\ninstall -d -o mysql -g adm -m 2750 /var/log/script\nmkdir -p /var/spool/no /var/run/yes\n"
    )
    conf = "d /var/lib/tmpfiles 0755 - - -\n"
    paths = {
        "usr/lib/systemd/system/db.service": unit,
        "etc/init.d/db": script,
        "usr/lib/tmpfiles.d/x.conf": conf,
        "var/lib/": "",
        "var/cache/": "",
        "var/log/": "",
        "var/lib/db/": "0755",
    }
    assert create(paths) == [
        "0755 0:0 run/yes/",
        "0755 101:102 var/cache/db/",
        "0700 101:102 var/lib/db/backup/",
        "2750 101:102 var/log/db/",
        "2750 101:4 var/log/script/",
    ]


def test_directories_of_init_scripts_with_literal_operands() -> None:
    script = """#!/bin/sh
NAME=server
RUNDIR=/var/run/$NAME
PIDDIR="/run/$UNKNOWN"
case "$1" in
  start)
    if [ ! -d "$RUNDIR" ]; then mkdir -p $RUNDIR; chown mysql:adm "$RUNDIR" && chmod 0750 $RUNDIR; fi
    install -d -m 0700 -o mysql -g adm /run/installed
    mkdir -p $PIDDIR /run/`date` /run/$(id -u)
    mkdir /etc/elsewhere
    chown mysql /run/never-created
    ;;
esac
"""
    assert create({"etc/init.d/server": script}) == [
        "0700 101:4 run/installed/",
        "0750 101:4 run/server/",
    ]


def test_existing_directories_keep_their_attributes() -> None:
    paths = {"run/mysqld/": "0711", "usr/lib/tmpfiles.d/x.conf": "d /run/mysqld 0755 mysql - -\n"}
    assert create(paths) == []


@pytest.mark.parametrize(("owner", "lock_format"), [("systemd", 2), ("libselinux1", 2), ("pkg", 1)])
def test_machines_and_old_locks_get_none(owner: str, lock_format: int) -> None:
    conf = {"usr/lib/tmpfiles.d/x.conf": "d /run/x 0755 - - -\n"}
    assert create(conf, owner=owner, lock_format=lock_format) == []


@pytest.mark.parametrize(
    "text",
    ["mkdir '", "[Service]\nRuntimeDirectory=", "install -o", "chown mysql", "\0", "mkdir -p /run/../etc/x"],
)
def test_odd_texts_give_nothing(text: str) -> None:
    assert create({"etc/init.d/x": text, "usr/lib/systemd/system/x.service": text}) == []
