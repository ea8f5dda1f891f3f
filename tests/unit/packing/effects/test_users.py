from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pumice.errors import ImageError
from pumice.packing.effects.model import EffectSettings
from pumice.packing.effects.users import create_accounts
from pumice.recipe.lock import Ids
from pumice.recipe.model import Group, User
from tests.support.texttree import BASE, given, package, shown, tree

if TYPE_CHECKING:
    from pumice.packing.tree import PackageFacts

Paths = dict[str, str]
REDIS = package("redis", postinst="adduser --system --home /var/lib/redis --quiet --group redis || true\n")
MEMCACHED = package(
    "memcached",
    postinst="""
if ! getent group memcache; then addgroup --system memcache; fi
adduser --system --ingroup memcache --no-create-home --home /nonexistent --gecos "Memcached" \\
  --shell /bin/false memcache
usermod -a -G adm memcache
""",
)


def made(
    *packages: PackageFacts, settings: EffectSettings | None = None, more: Paths | None = None
) -> dict[str, str]:
    paths = {**BASE, "home/": "", **(more or {})}
    result = create_accounts(given(tree(paths, packages), settings))
    return {item.entry.path: item.content.decode() for item in result.generated}


def added(files: dict[str, str], name: str = "etc/passwd") -> list[str]:
    """Return the lines that are neither base-passwd's nor nonroot's."""
    known = {line.split(":")[0] for text in BASE.values() for line in text.splitlines()} | {"nonroot"}
    return [line for line in files[name].splitlines() if line.split(":")[0] not in known]


def test_files_without_any_package() -> None:
    result = create_accounts(given(tree({**BASE, "home/": ""})))
    assert shown(result.generated) == (
        "0644 0:0 etc/group\n0640 0:42 etc/gshadow\n0644 0:0 etc/passwd\n0640 0:42 etc/shadow\n"
        "0700 65532:65532 home/nonroot/"
    )
    files = {item.entry.path: item.content.decode() for item in result.generated}
    assert files["etc/passwd"] == (
        "root:x:0:0:root:/root:/bin/bash\n"
        "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin\n"
    )
    assert files["etc/shadow"] == "root:*::0:99999:7:::\nwww-data:*::0:99999:7:::\nnonroot:*::0:99999:7:::\n"
    assert files["etc/group"].splitlines()[-1] == "nonroot:x:65532:"
    assert files["etc/gshadow"].splitlines()[-1] == "nonroot:*::"


def test_ids_go_by_name_and_not_by_package() -> None:
    files = made(REDIS, MEMCACHED)
    assert added(files) == [
        "memcache:x:100:100:Memcached:/nonexistent:/bin/false",
        "redis:x:101:101::/var/lib/redis:/usr/sbin/nologin",
    ]
    assert "adm:x:4:memcache" in files["etc/group"]
    assert files["var/lib/redis"] == ""
    assert made(MEMCACHED, REDIS) == files


def test_ids_in_the_lock_stay() -> None:
    settings = EffectSettings(architecture="amd64", ids=Ids({"redis": 150}, {"redis": 151, "gone": 100}))
    result = create_accounts(given(tree(BASE, [REDIS, MEMCACHED]), settings))
    assert result.ids == Ids({"memcache": 101, "redis": 150}, {"memcache": 101, "redis": 151})


def test_sysusers() -> None:
    conf = """
# comment
u _app - "The application" /var/lib/app /bin/sh
u fixed 250
g tape2 -
m _app tape2
u odd% - -
broken "
"""
    files = made(more={"usr/lib/sysusers.d/app.conf": conf})
    assert added(files) == [
        "_app:x:100:100:The application:/var/lib/app:/bin/sh",
        "fixed:x:250:250::/:/usr/sbin/nologin",
    ]
    assert added(files, "etc/group") == ["_app:x:100:", "fixed:x:250:", "tape2:x:101:_app"]


def test_a_file_in_etc_hides_its_namesake() -> None:
    files = made(more={"usr/lib/sysusers.d/a.conf": "u a -\n", "etc/sysusers.d/a.conf": "u b -\n"})
    assert [line.split(":")[0] for line in added(files)] == ["b"]


def test_users_of_the_recipe() -> None:
    settings = EffectSettings(
        architecture="amd64",
        users=(
            User(
                name="app",
                uid=1000,
                groups=("adm", "extra"),
                home="/srv/app",
                shell="/bin/sh",
                comment="An app",
            ),
        ),
        groups=(Group(name="team", gid=2000),),
    )
    result = create_accounts(given(tree(BASE), settings))
    text = shown(result.generated, content=True)
    assert "app:x:1000:1000:An app:/srv/app:/bin/sh" in text
    assert "adm:x:4:app" in text
    assert "team:x:2000:" in text
    assert "0755 1000:1000 srv/app/" in text
    assert "0755 0:0 srv/" in text
    assert result.ids == Ids({}, {"app": 1000, "extra": 100})


def test_somebody_else_may_have_the_number_of_nonroot() -> None:
    files = made(settings=EffectSettings(architecture="amd64", users=(User(name="me", uid=65532),)))
    assert "me:x:65532:65532:" in files["etc/passwd"]
    assert "nonroot" not in files["etc/passwd"]


def test_ids_that_clash_are_an_error_with_both_names() -> None:
    settings = EffectSettings(architecture="amd64", users=(User(name="a", uid=33),))
    with pytest.raises(ImageError, match="users www-data and a both want the id 33"):
        create_accounts(given(tree(BASE), settings))


def test_what_passwd_cannot_hold_is_refused() -> None:
    settings = EffectSettings(architecture="amd64", users=(User(name="a", comment="x:0:0"),))
    with pytest.raises(ImageError, match="cannot hold"):
        create_accounts(given(tree(BASE), settings))


def test_computed_names_are_reported() -> None:
    odd = package("odd", postinst='adduser --system "$(some program)"\n')
    result = create_accounts(given(tree(BASE, [odd])))
    assert result.skipped_actions == (("odd", "users"),)


def test_without_a_base_there_are_only_users_that_are_asked_for() -> None:
    settings = EffectSettings(architecture="amd64", base="none")
    assert create_accounts(given(tree({"usr/bin/x": ""}), settings)).generated == ()
    wanted = EffectSettings(architecture="amd64", base="none", users=(User(name="app", uid=1000),))
    text = shown(create_accounts(given(tree({"usr/bin/x": ""}), wanted)).generated, content=True)
    assert "root:x:0:0" in text
    assert "app:x:1000:1000" in text
