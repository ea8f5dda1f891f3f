from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pumice.errors import ImageError
from pumice.packing.effects.model import EffectSettings
from pumice.packing.effects.users import create_accounts
from pumice.recipe.lock import Ids
from pumice.recipe.model import Group, User
from tests.support.texttree import BASE, effect_input, format_entries, package, tree

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


def build_account_files(
    *packages: PackageFacts, settings: EffectSettings | None = None, extra_paths: Paths | None = None
) -> dict[str, str]:
    paths = {**BASE, "home/": "", **(extra_paths or {})}
    effect_result = create_accounts(effect_input(tree(paths, packages), settings))
    return {
        generated_entry.entry.path: generated_entry.content.decode()
        for generated_entry in effect_result.generated
    }


def added_lines(files: dict[str, str], name: str = "etc/passwd") -> list[str]:
    """Return the lines other than those of base-passwd and nonroot."""
    base_names = {line.split(":")[0] for text in BASE.values() for line in text.splitlines()} | {"nonroot"}
    return [line for line in files[name].splitlines() if line.split(":")[0] not in base_names]


def test_account_files_without_packages() -> None:
    effect_result = create_accounts(effect_input(tree({**BASE, "home/": ""})))
    assert format_entries(effect_result.generated) == (
        "0644 0:0 etc/group\n0640 0:42 etc/gshadow\n0644 0:0 etc/passwd\n0640 0:42 etc/shadow\n"
        "0700 65532:65532 home/nonroot/"
    )
    files = {
        generated_entry.entry.path: generated_entry.content.decode()
        for generated_entry in effect_result.generated
    }
    assert files["etc/passwd"] == (
        "root:x:0:0:root:/root:/bin/bash\n"
        "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin\n"
    )
    assert files["etc/shadow"] == "root:*::0:99999:7:::\nwww-data:*::0:99999:7:::\nnonroot:*::0:99999:7:::\n"
    assert files["etc/group"].splitlines()[-1] == "nonroot:x:65532:"
    assert files["etc/gshadow"].splitlines()[-1] == "nonroot:*::"


def test_ids_are_allocated_by_name() -> None:
    files = build_account_files(REDIS, MEMCACHED)
    assert added_lines(files) == [
        "memcache:x:100:100:Memcached:/nonexistent:/bin/false",
        "redis:x:101:101::/var/lib/redis:/usr/sbin/nologin",
    ]
    assert "adm:x:4:memcache" in files["etc/group"]
    assert files["var/lib/redis"] == ""
    assert build_account_files(MEMCACHED, REDIS) == files


def test_locked_ids_are_kept() -> None:
    settings = EffectSettings(architecture="amd64", ids=Ids({"redis": 150}, {"redis": 151, "gone": 100}))
    effect_result = create_accounts(effect_input(tree(BASE, [REDIS, MEMCACHED]), settings))
    assert effect_result.ids == Ids({"memcache": 101, "redis": 150}, {"memcache": 101, "redis": 151})


def test_sysusers_files_add_accounts() -> None:
    conf = """
# comment
u _app - "The application" /var/lib/app /bin/sh
u fixed 250
g tape2 -
m _app tape2
u odd% - -
broken "
"""
    files = build_account_files(extra_paths={"usr/lib/sysusers.d/app.conf": conf})
    assert added_lines(files) == [
        "_app:x:100:100:The application:/var/lib/app:/bin/sh",
        "fixed:x:250:250::/:/usr/sbin/nologin",
    ]
    assert added_lines(files, "etc/group") == ["_app:x:100:", "fixed:x:250:", "tape2:x:101:_app"]


def test_a_sysusers_file_in_etc_overrides_its_namesake() -> None:
    files = build_account_files(
        extra_paths={"usr/lib/sysusers.d/a.conf": "u a -\n", "etc/sysusers.d/a.conf": "u b -\n"}
    )
    assert [line.split(":")[0] for line in added_lines(files)] == ["b"]


def test_the_recipe_adds_users_and_groups() -> None:
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
    effect_result = create_accounts(effect_input(tree(BASE), settings))
    text = format_entries(effect_result.generated, with_content=True)
    assert "app:x:1000:1000:An app:/srv/app:/bin/sh" in text
    assert "adm:x:4:app" in text
    assert "team:x:2000:" in text
    assert "0755 1000:1000 srv/app/" in text
    assert "0755 0:0 srv/" in text
    assert effect_result.ids == Ids({}, {"app": 1000, "extra": 100})


def test_the_recipe_may_use_the_id_of_nonroot() -> None:
    files = build_account_files(
        settings=EffectSettings(architecture="amd64", users=(User(name="me", uid=65532),))
    )
    assert "me:x:65532:65532:" in files["etc/passwd"]
    assert "nonroot" not in files["etc/passwd"]


def test_conflicting_ids_are_an_error_that_names_both_accounts() -> None:
    settings = EffectSettings(architecture="amd64", users=(User(name="a", uid=33),))
    with pytest.raises(ImageError, match="users www-data and a have the same id 33"):
        create_accounts(effect_input(tree(BASE), settings))


def test_an_invalid_comment_is_refused() -> None:
    settings = EffectSettings(architecture="amd64", users=(User(name="a", comment="x:0:0"),))
    with pytest.raises(ImageError, match="invalid in passwd"):
        create_accounts(effect_input(tree(BASE), settings))


def test_a_computed_user_name_is_reported() -> None:
    odd = package("odd", postinst='adduser --system "$(some program)"\n')
    effect_result = create_accounts(effect_input(tree(BASE, [odd])))
    assert effect_result.skipped_actions == (("odd", "users"),)


def test_without_a_base_only_requested_users_exist() -> None:
    settings = EffectSettings(architecture="amd64", base="none")
    assert create_accounts(effect_input(tree({"usr/bin/x": ""}), settings)).generated == ()
    with_user = EffectSettings(architecture="amd64", base="none", users=(User(name="app", uid=1000),))
    text = format_entries(
        create_accounts(effect_input(tree({"usr/bin/x": ""}), with_user)).generated, with_content=True
    )
    assert "root:x:0:0" in text
    assert "app:x:1000:1000" in text
