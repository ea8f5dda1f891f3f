from __future__ import annotations

import pytest
from hypothesis import given as each
from hypothesis import strategies as st

from pumice.packing.effects.model import EffectSettings, file_entry
from pumice.packing.effects.scripted_files import create_scripted_files
from pumice.packing.effects.scripts.file_modes import parse_mode
from pumice.recipe.lock import FORMAT
from tests.support.texttree import BASE, effect_input, format_entries, package, tree

ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nredis:x:101:102::/:/bin/sh\n",
    "etc/group": "root:x:0:\nadm:x:4:\nredis:x:102:\n",
}
PATHS = {
    **ACCOUNTS,
    "etc/x.conf": "package",
    "usr/bin/tool": "elf",
    "usr/share/x/template": "template",
    "usr/share/x/helper": 'if [ -z "${SEEN:-}" ]; then SEEN=1; return; fi\n',
    "var/lib/x/a/b": "b",
    "bin": "-> usr/bin",
    "var/run": "-> /run",
    "run/": "",
}


def run_script(script: str, name: str = "x", lock_format: int = FORMAT) -> str:
    settings = EffectSettings(architecture="amd64", format=lock_format)
    effect_result = create_scripted_files(
        effect_input(tree(PATHS, [package(name, postinst=script)]), settings)
    )
    lines = format_entries(effect_result.generated, with_content=True)
    return "\n".join([lines, *(f"not done: {action}" for _, action in effect_result.skipped_actions)]).strip(
        "\n"
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("mkdir -p /var/log/x/y", "0755 0:0 var/log/\n0755 0:0 var/log/x/\n0755 0:0 var/log/x/y/"),
        ("mkdir -m 700 /srv", "0700 0:0 srv/"),
        ("install -d -m 2750 -o redis -g adm /srv", "2750 101:4 srv/"),
        ("mkdir /var/run/x; chown redis: /var/run/x", "0755 101:102 run/x/"),
        ("chown redis:adm /etc/x.conf; chmod 0640 /etc/x.conf", "0640 101:4 etc/x.conf 'package'"),
        ("chgrp adm /bin/tool && chmod g+s /bin/tool", "2755 0:4 usr/bin/tool 'elf'"),
        ("chmod u+s,go-rx /bin/tool", "4700 0:0 usr/bin/tool 'elf'"),
        (
            "chown -R redis /var/lib/x",
            "0755 101:0 var/lib/x/\n0755 101:0 var/lib/x/a/\n0644 101:0 var/lib/x/a/b 'b'",
        ),
        ("touch /etc/new; chmod 600 /etc/new", "0600 0:0 etc/new ''"),
        ("umask 077; touch /etc/new", "0600 0:0 etc/new ''"),
        ("ln -s ../x /etc/link", "etc/link -> ../x"),
        ("ln -s /etc/x.conf /var/lib/x", "var/lib/x/x.conf -> /etc/x.conf"),
        ("cp /usr/share/x/template /etc/t.conf", "0644 0:0 etc/t.conf 'template'"),
        ("ucf --three-way /usr/share/x/template /etc/t.conf", "0644 0:0 etc/t.conf 'template'"),
        ("ucf /usr/share/x/template /etc/x.conf", ""),
        ("cd /etc; touch t; echo a b > t; mv t u", "0644 0:0 etc/u 'a b\\n'"),
        ("cat > /etc/t <<E\na\nE\necho b >> /etc/t", "0644 0:0 etc/t 'a\\nb\\n'"),
        ("touch /etc/t; rm -f /etc/t /etc/x.conf", ""),
        ("if unknown; then mkdir -Z /srv; else mkdir /srv; fi; chmod 700 /srv", "0700 0:0 srv/"),
        (
            "dpkg-statoverride --update --add redis adm 0640 /etc/x.conf",
            (
                "0640 101:4 etc/x.conf 'package'\n"
                "0644 0:0 var/lib/dpkg/statoverride 'redis adm 640 /etc/x.conf\\n'"
            ),
        ),
        # a command that is not certain, literal or possible is only reported
        ("unknown && chmod 777 /etc/x.conf", "not done: chmod (conditional)"),
        ("chown nobody /etc/x.conf", "not done: chown"),
        ('chmod 600 "$(some file)"', "not done: chmod"),
        ("chmod 600 /etc/*.conf", "not done: chmod"),
        ("chmod 99999 /etc/x.conf", "not done: chmod"),
        ("mkdir /no/parent", "not done: mkdir"),
        ("date > /etc/t", "not done: file contents"),
        # volatile directories are not part of an image
        ("mkdir /tmp/x", "not done: mkdir"),
        ("mkdir -p /dev/x", "not done: mkdir"),
    ],
)
def test_file_commands(script: str, expected: str) -> None:
    assert run_script(script) == expected


_EARLY = "f() ( [ -x /bin/tool ] || return 1; unknown || return 1; return 0 )\n"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # a possible exit from a function or subshell makes only its own rest uncertain
        (f"{_EARLY}for x in a b; do mkdir /$x; f; done", "0755 0:0 a/\n0755 0:0 b/"),
        ("for x in a b; do ( unknown && exit 0; true ); mkdir /$x; done", "0755 0:0 a/\n0755 0:0 b/"),
        ("for x in a b; do [ -d /etc/$x ] || continue; mkdir /etc/$x/y; done", ""),
        ("for x in etc b; do [ -d /$x ] || continue; mkdir /$x/y; done", "0755 0:0 etc/y/"),
        # a loop is carried out completely or not at all
        (
            "for x in a b; do mkdir /$x; unknown && continue; chmod 700 /$x; done",
            "not done: mkdir (loop)\nnot done: chmod (loop)",
        ),
        ('for x in a $(unknown); do mkdir "/$x"; done', "not done: mkdir (loop)"),
        ("for x in /etc/*.conf /b; do touch $x; done", "not done: touch (loop)"),
        ("for x in a b; do mkdir /$x; unknown && break; done", "not done: mkdir (loop)"),
        (
            "for x in redis nobody; do mkdir /$x; chown $x /$x; done; mkdir /c",
            "0755 0:0 c/\nnot done: mkdir (loop)\nnot done: chown (loop)",
        ),
        (
            "for x in a b; do for y in c d; do mkdir -p /$x/$y; done; date > /$x/t; done",
            "not done: mkdir (loop)\nnot done: file contents (loop)",
        ),
        ("for x in a b; do mkdir /$x; unknown && rm -f /none; done", "0755 0:0 a/\n0755 0:0 b/"),
        ("for x in a b; do mkdir /$x; other-command $x; done", "0755 0:0 a/\n0755 0:0 b/"),
        # a file is written completely or not at all
        (
            "echo a > /etc/t\nfor i in b c; do echo $i; done >> /etc/t\nmv /etc/t /etc/u",
            "not done: file contents\nnot done: mv",
        ),
        (
            "echo a > /etc/t; unknown && echo b >> /etc/t",
            "0644 0:0 etc/t 'a\\n'\nnot done: file contents (conditional)",
        ),
        ("echo a > /etc/t; date >> /etc/t; echo b >> /etc/t", "not done: file contents"),
        (
            "unknown && echo b >> /etc/t; echo a > /etc/t",
            ("0644 0:0 etc/t 'a\\n'\nnot done: file contents (conditional)"),
        ),
        ("for i in b c; do echo $i; done > /dev/null; if true; then echo; fi >&2", ""),
        # a loop over the lines of a here-document is unrolled
        (
            "( while read line; do set -- $line; mkdir -m $2 $1; done ) <<E\n/a 0700\n\t/a/b   0750\nE",
            "0700 0:0 a/\n0750 0:0 a/b/",
        ),
        ("while read -r x y; do mkdir /$x$y; done <<'E'\na b\nc\nE\nread z", "0755 0:0 ab/\n0755 0:0 c/"),
        ("while read x; do mkdir /$x; done <<E\na\n$(unknown)\nE", "not done: mkdir (loop)"),
        ("while read x; do mkdir /$x; unknown && read x; done <<E\na\nb\nE", "not done: mkdir (loop)"),
        ("unknown | while read x; do mkdir /$x; done", "not done: mkdir (loop)"),
        ("( unknown | while read x; do mkdir /$x; done ) <<E\na\nE", "not done: mkdir (loop)"),
        ("until ! read x; do [ $x = b ] && break; mkdir /$x; done <<E\na\nb\nc\nE", "0755 0:0 a/"),
        # values that a body with a possible exit changes are unknown
        ("f() { unknown && return 0; X=a; }; f; mkdir /$X", "not done: mkdir"),
        ("f() { unknown && return 1; true; }; if f; then mkdir /a; fi", "not done: mkdir (conditional)"),
        (". /usr/share/x/helper; mkdir /a", "0755 0:0 a/"),
        ("unknown && a2enmod x", "not done: a2enmod (conditional)"),
    ],
)
def test_a_loop_is_carried_out_completely_or_not_at_all(script: str, expected: str) -> None:
    assert run_script(script) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (f"{_EARLY}for x in a b; do mkdir /$x; f; done", "0755 0:0 a/\nnot done: mkdir (conditional)"),
        (
            "for x in a b; do mkdir /$x; date > /$x/t; done",
            "0755 0:0 a/\n0755 0:0 b/\nnot done: file contents",
        ),
    ],
)
def test_format_1_keeps_its_behavior(script: str, expected: str) -> None:
    assert run_script(script, lock_format=1) == expected


_NOTE = "\nnot done: install (host name)"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            'D=/var/lib/y/$(uname -n); if ! [ -d "$D" ]; then install -o redis -g redis -d $D; fi',
            "0755 101:102 var/lib/y/" + _NOTE,
        ),
        (
            "mkdir -p /var/lib/y/h-$(hostname); chown redis: /var/lib/y/h-$(hostname)",
            "0755 101:102 var/lib/y/\nnot done: mkdir (host name)\nnot done: chown (host name)",
        ),
        # a directory of a package keeps its attributes
        ("install -o redis -d /var/lib/x/$(hostname)", _NOTE.strip()),
        ("chmod 700 /var/lib/x/$(hostname)", "not done: chmod (host name)"),
        ("install -d /var/lib/$(hostname)/a", _NOTE.strip()),
        ("install -m 600 /usr/share/x/template /srv/$(hostname)", _NOTE.strip()),
        ("unknown && install -d /srv/y/$(hostname)", "not done: install (conditional)"),
        ("echo a > /etc/$(hostname)", "not done: file contents"),
        ("echo $(hostname) > /etc/t", "not done: file contents"),
        ("touch /etc/$(hostname); cp /etc/x.conf /$(hostname)", "not done: touch\nnot done: cp"),
    ],
)
def test_a_directory_named_after_the_host_has_its_parent(script: str, expected: str) -> None:
    assert run_script(script) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            'X="$(mktemp)"; cat > "$X" <<E\na\nE\necho b >> $X; chmod 640 $X; ucf $X /etc/t; rm -f $X',
            "0640 0:0 etc/t 'a\\nb\\n'",
        ),
        ("X=$(tempfile); cp /etc/x.conf $X; ucf --debconf-ok $X /etc/t", "0600 0:0 etc/t 'package'"),
        ("X=`mktemp -t x.XXX`; Y=$(mktemp); echo a > $X; echo b > $Y; mv $X /etc/t", "0600 0:0 etc/t 'a\\n'"),
        ("X=$(mktemp); cp /etc/x.conf $X; sed -i s/a/b/ $X; ucf $X /etc/t", "not done: ucf"),
        ("X=$(mktemp); cp /etc/x.conf $X; unknown && sed -i s/a/b/ $X; ucf $X /etc/t", "not done: ucf"),
        ("X=$(mktemp); date > $X; ucf $X /etc/t", "not done: file contents\nnot done: ucf"),
        (
            "X=$(mktemp); for i in a b; do echo $i >> $X; sed -i s/a/b/ $X; done; ucf $X /etc/t",
            "not done: file contents (loop)\nnot done: ucf",
        ),
        ("X=$(mktemp); for i in a b; do echo $i >> $X; done; ucf $X /etc/t", "0600 0:0 etc/t 'a\\nb\\n'"),
        ("X=$(mktemp -d); cp /etc/x.conf $X/a; ucf $X/a /etc/t", "not done: cp\nnot done: ucf"),
        ("X=$(mktemp); ln -s $X /etc/t; echo $X > /etc/u", "not done: ln\nnot done: file contents"),
        ("X=$(mktemp); [ -f $X ] && mkdir /a", "not done: mkdir (conditional)"),
    ],
)
def test_a_temporary_file_with_known_content_can_be_installed(script: str, expected: str) -> None:
    assert run_script(script) == expected


def test_format_1_creates_no_parent_of_a_directory_named_after_the_host() -> None:
    assert run_script("mkdir -p /srv/y/$(hostname)", lock_format=1) == "not done: mkdir"


_LIGHTTPD = {
    "etc/lighttpd/conf-available/10-fastcgi.conf": "x\n",
    "etc/lighttpd/conf-available/15-php.conf": "# -*- depends: fastcgi, none -*-\n",
    "etc/lighttpd/conf-available/README": "",
    "etc/lighttpd/conf-enabled/": "",
}


def test_lighttpd_modules_are_enabled_with_their_dependencies() -> None:
    script = "if lighty-enable-mod php absent; then mkdir /a; fi; unknown && lighty-enable-mod fastcgi"
    effect_result = create_scripted_files(effect_input(tree(_LIGHTTPD, [package("x", postinst=script)])))
    assert format_entries(effect_result.generated).splitlines() == [
        "0755 0:0 a/",
        "etc/lighttpd/conf-enabled/10-fastcgi.conf -> ../conf-available/10-fastcgi.conf",
        "etc/lighttpd/conf-enabled/15-php.conf -> ../conf-available/15-php.conf",
    ]
    assert effect_result.skipped_actions == (("x", "lighty-enable-mod (conditional)"),)


def test_nginx_modules_are_enabled_by_the_loop_of_their_package() -> None:
    script = (
        "for pair in mod-mail.conf:50-mod-mail.conf ; do\n"
        "from=$(echo $pair | cut -d: -f1)\nto=$(echo $pair | cut -d: -f2)\n"
        "if [ -L /etc/nginx/modules-enabled/$to.removed ]; then removed=true; else removed=false; fi\n"
        'if [ -z "$2" -o "$removed" = "true" ]; then\n'
        "ln -sf /usr/share/nginx/modules-available/$from /etc/nginx/modules-enabled/$to\nfi\ndone"
    )
    paths = {"etc/nginx/modules-enabled/": "", "usr/share/nginx/modules-available/mod-mail.conf": ""}
    effect_result = create_scripted_files(effect_input(tree(paths, [package("x", postinst=script)])))
    assert format_entries(effect_result.generated) == (
        "etc/nginx/modules-enabled/50-mod-mail.conf -> /usr/share/nginx/modules-available/mod-mail.conf"
    )
    assert effect_result.skipped_actions == ()


def test_php_modules_are_enabled_for_every_installed_interface() -> None:
    paths = {
        "usr/share/x/dom.ini": "; priority=15\nextension=dom\n",
        "usr/share/x/xml.ini": "extension=xml\n",
        "usr/lib/php/8.2/sapi/cli": "",
        "usr/lib/php/8.2/sapi/fpm": "",
        "etc/php/8.2/cli/conf.d/": "",
        "etc/php/8.2/fpm/conf.d/": "",
        "usr/sbin/phpenmod": "",
    }
    script = (
        "for m in dom xml; do ucf /usr/share/x/$m.ini /etc/php/8.2/mods-available/$m.ini;"
        " phpenmod -q -v 8.2 -m -r $m || exit 1; done"
    )
    folder = "mkdir -p /etc/php/8.2/mods-available\n"
    effect_result = create_scripted_files(effect_input(tree(paths, [package("x", postinst=folder + script)])))
    lines = format_entries(effect_result.generated).splitlines()
    assert effect_result.skipped_actions == ()
    for name in ("cli", "fpm"):
        assert f"etc/php/8.2/{name}/conf.d/15-dom.ini -> /etc/php/8.2/mods-available/dom.ini" in lines
        assert f"etc/php/8.2/{name}/conf.d/20-xml.ini -> /etc/php/8.2/mods-available/xml.ini" in lines
        assert f"0644 0:0 var/lib/php/modules/8.2/{name}/enabled_by_maint/dom" in lines
    assert "0644 0:0 var/lib/php/modules/8.2/registry/xml" in lines
    missing = package("x", postinst="phpenmod -v 8.2 none")
    assert create_scripted_files(effect_input(tree(paths, [missing]))).skipped_actions == (("x", "phpenmod"),)


def test_setcap_sets_file_capabilities() -> None:
    script = "if command -v setcap; then setcap cap_net_raw+ep /bin/tool; else chmod u+s /bin/tool; fi"
    (generated_entry,) = create_scripted_files(
        effect_input(tree(PATHS, [package("x", postinst=script)]))
    ).generated
    assert generated_entry.entry.xattrs == {
        "security.capability": bytes.fromhex("0100000200200000000000000000000000000000")
    }
    assert generated_entry.entry.mode == 0o755
    assert generated_entry.content == b"elf"


def test_paths_do_not_leave_the_root() -> None:
    assert run_script("mkdir -p /../../srv/../srv") == "0755 0:0 srv/"
    assert run_script("ln -s /etc /srv; touch /srv/../../etc/t").splitlines()[-1] == "srv -> /etc"


def test_files_of_other_effects_are_not_overwritten() -> None:
    paths = {**BASE, "etc/x": "package"}
    image_tree = tree(
        paths, [package("base-passwd", postinst="cp /usr/share/base-passwd/passwd.master /etc/passwd")]
    )
    with_users = image_tree.with_entries([file_entry("etc/passwd", b"ours", "effect:users")])
    effect_result = create_scripted_files(effect_input(with_users))
    assert effect_result.generated == ()
    unknown = tree(paths, [package("base-passwd", postinst="unknown | sed s/a/b/ > /etc/passwd")])
    effect_result = create_scripted_files(
        effect_input(unknown.with_entries([file_entry("etc/passwd", b"ours", "effect:users")]))
    )
    assert (effect_result.generated, effect_result.skipped_actions) == ((), ())


def test_rows_of_the_data_table_are_applied() -> None:
    paths = {**PATHS, "usr/share/zoneinfo/Etc/UTC": "zone"}
    zone = "etc/localtime -> /usr/share/zoneinfo/Etc/UTC"
    effect_result = create_scripted_files(effect_input(tree(paths, [package("tzdata")])))
    assert format_entries(effect_result.generated, with_content=True) == zone
    writes = package("tzdata", postinst='echo "$(ask)" > /etc/timezone\n')
    effect_result = create_scripted_files(effect_input(tree(paths, [writes])))
    assert (
        format_entries(effect_result.generated, with_content=True)
        == f"{zone}\n0644 0:0 etc/timezone 'Etc/UTC\\n'"
    )


@each(st.text(st.sampled_from("ugoa+-=rwxXst,07"), min_size=1, max_size=12), st.integers(0, 0o7777))
def test_any_mode_gives_valid_permission_bits_or_an_error(text: str, current_mode: int) -> None:
    try:
        assert 0 <= parse_mode(text, current_mode) <= 0o7777
    except ValueError:
        return


@each(
    st.lists(
        st.sampled_from(
            [
                "mkdir -p /srv/a/b",
                "touch /srv/a/b/c",
                "rm -f /srv/a/b/c",
                "mv /srv/a/b/c /srv/d",
                "chmod 700 /etc/x.conf",
                "chown redis /srv/a",
                "ln -s x /srv/l",
                "echo a > /etc/x.conf",
                "umask 077",
                "dpkg-statoverride --add root root 0600 /etc/x.conf",
            ]
        ),
        max_size=8,
    )
)
def test_a_failed_loop_changes_nothing(commands: list[str]) -> None:
    setup = "mkdir -p /srv/a/b\ntouch /srv/a/b/c\n"
    loop = "for x in 1 2; do " + "; ".join([*commands, "chown nobody /etc/x.conf"]) + "; done\n"
    teardown = "touch /etc/new\n"
    expected, actual = run_script(setup + teardown), run_script(setup + loop + teardown)
    assert [line for line in actual.splitlines() if not line.startswith("not done")] == expected.splitlines()
