"""The checks of shells, scripts, locales, links, users, directories, ports and privileges."""

from __future__ import annotations

import pytest

from pumice.checks.accounts import check_user
from pumice.checks.directories import check_directories
from pumice.checks.image_check import check_image
from pumice.checks.links import check_links
from pumice.checks.locales import check_locale
from pumice.checks.ports import check_ports
from pumice.checks.privileges import check_privileges
from pumice.checks.shell_commands import check_shell_commands
from pumice.checks.shells import check_shell
from pumice.checks.units import check_units
from pumice.packing.tree import RECIPE_OWNER
from tests.support.checked_images import LIBC, checked_image, run_check
from tests.support.objects import program

PASSWD = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/:/bin/false\n",
    "etc/group": "root:x:0:\nweb:x:102:\ndata:x:200:web\n",
}
SHELL = {**LIBC, "usr/bin/dash": program(["libc.so.6"]), "usr/bin/sh": "-> dash"}
SCRIPT = """#!/bin/sh
here=$(dirname "$0")
helper() { rm -f "$1"; }
if command -v hostname >/dev/null; then hostname; fi
for file in a b; do sed -e s/a/b/ "$file" | /usr/bin/sort; done
helper x && echo done
"""


def test_basic_tools_that_a_script_runs_are_named_with_their_packages() -> None:
    image = checked_image({**SHELL, "usr/bin/start": SCRIPT}, ["start"])
    assert run_check(check_shell_commands, image) == [
        ("warning shell-command: /usr/bin/start runs dirname, rm and sed, which are not in the image")
    ]
    tools = {f"usr/bin/{name}": "" for name in ("rm", "sed", "sort", "dirname")}
    assert (
        run_check(check_shell_commands, checked_image({**SHELL, **tools, "start": SCRIPT}, ["/start"])) == []
    )


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("exec servr", "servr"),
        ("x=$(servr $(/opt/gone -x)); echo $x", "/opt/gone and servr"),
        ("nohup servr & time sleep 1", "nohup and sleep"),
        ("[ -x /opt/gone ] && /opt/gone; command -v servr && servr", ""),
        ("PATH=/opt:$PATH; servr", ""),
        (". /lib.sh; defined_there; /opt/gone", "/opt/gone"),
        ("f() { cd /; }; f; ./configure; $PROGRAM", ""),
        ("cat <<X\nservr\nX", "cat"),
        ("while :; do (", ""),
    ],
)
def test_the_text_for_a_shell_may_run_only_what_is_in_the_image(text: str, missing: str) -> None:
    findings = run_check(check_shell_commands, checked_image(SHELL, ["sh", "-ec", text]))
    verb = "are" if " and " in missing else "is"
    expected = f"warning shell-command: the command runs {missing}, which {verb} not in the image"
    assert findings == ([expected] if missing else [])


def test_busybox_runs_its_own_applets() -> None:
    paths = {**LIBC, "usr/bin/busybox": program(interpreter=""), "usr/bin/sh": "-> busybox"}
    assert run_check(check_shell_commands, checked_image(paths, ["sh", "-c", "rm x; /opt/gone"])) == [
        "warning shell-command: the command runs /opt/gone, which is not in the image"
    ]


def test_a_script_that_is_not_posix_gives_no_alarm() -> None:
    image = checked_image({**SHELL, "usr/bin/x": "#!/bin/sh\nif then ((\n"}, ["x"])
    assert run_check(check_shell_commands, image) == []


def test_programs_that_may_run_a_shell_get_a_note_and_those_that_must_a_warning() -> None:
    paths = {**LIBC, "usr/bin/python3": program(["libc.so.6"], symbols=["system"])}
    assert run_check(check_shell, checked_image(paths, ["python3"])) == [
        ("note shell: /usr/bin/python3 can run commands by /bin/sh, which is not in the image")
    ]
    paths = {**LIBC, "usr/bin/initdb": program(["libc.so.6"], symbols=["popen"])}
    assert run_check(check_shell, checked_image(paths, ["initdb"])) == [
        ("warning shell: /usr/bin/initdb runs commands by /bin/sh, which is not in the image")
    ]
    assert run_check(check_shell, checked_image({**paths, **SHELL}, ["initdb"])) == []


@pytest.mark.parametrize(
    ("value", "extra", "is_fine"),
    [
        ("C", {}, True),
        ("C.UTF-8", {}, False),
        ("C.UTF-8", {"usr/lib/locale/C.utf8/": ""}, True),
        ("de_DE.UTF-8", {"usr/lib/locale/C.utf8/": ""}, False),
        ("de_DE.UTF-8@euro", {"usr/lib/locale/de_DE.utf8@euro/": ""}, True),
        ("de_DE.UTF-8", {"usr/lib/locale/locale-archive": "x"}, True),
    ],
)
def test_the_locale_of_the_environment_must_exist(value: str, extra: dict[str, str], is_fine: bool) -> None:
    image = checked_image({**LIBC, **extra}, environment={"LANG": value})
    assert (run_check(check_locale, image) == []) is is_fine
    assert run_check(check_locale, checked_image(extra, environment={"LANG": value})) == []  # no C library


def test_links_in_etc_that_lead_nowhere_and_links_above_the_root() -> None:
    paths = {
        "etc/a": "-> ../usr/share/gone",
        "etc/mtab": "-> /proc/self/mounts",
        "etc/systemd/system/x.service": "-> /dev/null",
        "etc/sgml/catalog": "-> /gone",
        "etc/ok": "-> /usr/share/here",
        "usr/share/here": "",
        "usr/share/dangling": "-> gone",
        "usr/share/out": "-> ../../../x",
    }
    assert run_check(check_links, checked_image(paths)) == [
        ("warning link: the link /etc/a leads to ../usr/share/gone, which does not exist"),
        ("note link: the link /usr/share/out leads above the root: ../../../x"),
    ]


def test_users_and_groups_must_exist_by_name() -> None:
    assert run_check(check_user, checked_image(PASSWD, user="web:data")) == []
    assert run_check(check_user, checked_image(PASSWD, user="12345")) == []
    assert run_check(check_user, checked_image(PASSWD, user="app:nobody")) == [
        "warning user: the image has no user 'app'",
        "warning user: the image has no group 'nobody'",
    ]


@pytest.mark.parametrize(
    ("user", "mode", "is_fine"),
    [
        ("", 0o755, True),
        ("web", 0o755, False),
        ("web", 0o757, True),
        ("0", 0o000, True),
        ("102", 0o775, False),
    ],
)
def test_the_user_must_be_able_to_write_to_volumes(user: str, mode: int, is_fine: bool) -> None:
    image = checked_image({**PASSWD, "data/": f"{mode:o}"}, user=user, volumes=("/data",))
    assert (run_check(check_directories, image) == []) is is_fine


def test_missing_directories_are_reported_with_the_line_to_add() -> None:
    image = checked_image({"app": "x"}, directory="/app", volumes=("/var/lib/x",))
    assert run_check(check_directories, image) == [
        "warning directory: /app is not a directory",
        ("warning directory: the directory /var/lib/x does not exist, so engines create it as root"),
    ]


def test_low_ports_get_a_note_unless_the_user_is_root() -> None:
    assert run_check(check_ports, checked_image(PASSWD, ports=("80/tcp",))) == []
    assert run_check(check_ports, checked_image(PASSWD, user="web", ports=("80/tcp", "8080"))) == [
        "note port: the user 'web' may not open port 80 on every host"
    ]


def test_set_id_and_world_writable_files_of_the_recipe_are_reported() -> None:
    modes = {"app": 0o4755, "data": 0o777, "tmp": 0o1777}
    paths = {"app": "x", "data/": "", "tmp/": ""}
    image = checked_image(paths, modes=modes, owner=RECIPE_OWNER)
    assert run_check(check_privileges, image) == [
        ("warning set-id: /app runs with the rights of its owner (mode 4755)"),
        ("warning world-writable: every user can write to /data (mode 0777)"),
    ]
    assert run_check(check_privileges, checked_image(paths, modes=modes, owner="sudo")) == []


def test_findings_come_once_and_warnings_first() -> None:
    image = checked_image({"usr/share/out": "-> ../../../x"}, ["gone"], health=("gone",))
    assert [finding.check for finding in check_image(image)] == ["command", "command", "link"]


def test_the_programs_of_enabled_units_must_exist_if_systemd_is_the_command() -> None:
    units = "/usr/lib/systemd/system"
    unit = (
        "[Service]\nExecStart=/usr/sbin/gone \\\n  --flag\nExecStart=-/usr/sbin/optional\nExecStart=/%i/x\n"
    )
    paths: dict[str, str | bytes] = {
        **LIBC,
        "usr/lib/systemd/systemd": program(["libc.so.6"]),
        "usr/sbin/init": "-> ../lib/systemd/systemd",
        "usr/sbin/server": program(["libgone.so"]),
        "usr/lib/systemd/system/gone.service": unit,
        "usr/lib/systemd/system/server.service": "[Service]\nExecStart=!/usr/sbin/server\n",
        "usr/lib/systemd/system/disabled.service": "[Service]\nExecStart=/usr/sbin/absent\n",
        "etc/systemd/system/rescue.target.wants/x.service": "-> /usr/lib/systemd/system/disabled.service",
        **{
            f"etc/systemd/system/multi-user.target.wants/{name}.service": f"-> {units}/{name}.service"
            for name in ("gone", "server")
        },
    }
    modes = {"usr/lib/systemd/systemd": 0o755}
    assert [
        finding.message for finding in check_image(checked_image(paths, ["/usr/sbin/init"], modes=modes))
    ] == [
        "the library libgone.so, which /usr/sbin/server needs, is not in the image",
        "the unit gone.service starts /usr/sbin/gone, which is not in the image",
    ]
    assert run_check(check_units, checked_image(paths, ["/usr/sbin/server"])) == []
