from __future__ import annotations

import random
from pathlib import Path

import msgspec

from pumice.packing import effects
from pumice.packing.effects import AppliedEffects, EffectSettings
from pumice.packing.tree import Tree
from tests.support.texttree import BASE, format_entries, package, tree

REDIS = package(
    "redis",
    postinst="""
adduser --system --home /var/lib/redis --quiet --group redis || true
chown redis:adm /etc/redis
chmod 2750 /etc/redis
chown redis:redis /etc/redis/redis.conf
deb-systemd-helper enable redis.service
update-rc.d redis defaults
""",
)
ODD = package("odd", postinst="if [ broken\n chmod 600 /x; if")
PATHS = {
    **BASE,
    "usr/bin/redis": "",
    "etc/redis/redis.conf": "port 1\n",
    "var/run/": "",
    "var/run/redis/": "",
    "run/": "",
    "home/": "",
    "root/": "0700",
    "tmp/": "1777",
    "var/tmp/": "1777",
}
AMD64 = EffectSettings(architecture="amd64")


def test_all_effects_of_a_typical_package() -> None:
    applied = effects.apply(tree(PATHS, [REDIS, ODD]), AMD64)
    lines = format_entries(applied.generated).splitlines()
    assert "bin -> usr/bin" in lines
    assert "0644 100:100 etc/redis/redis.conf" in lines
    assert "0755 100:100 var/lib/redis/" in lines
    assert "0755 0:0 run/redis/" in lines
    assert "var/run -> /run" in lines
    assert applied.removed_paths == ("var/run/redis",)
    assert {path: oct(entry.mode) for path, entry in applied.directories.items()} == {"etc/redis": "0o2750"}
    assert (applied.directories["etc/redis"].uid, applied.directories["etc/redis"].gid) == (100, 4)
    assert applied.ids.users == {"redis": 100}
    assert applied.skipped_actions == {"odd": ("script not understood",), "redis": ("services",)}


def test_every_generated_entry_has_its_parents() -> None:
    image_tree = tree({"usr/bin/x": ""}, [package("ca-certificates"), package("dbus")])
    applied = effects.apply(image_tree, EffectSettings(architecture="amd64", base="none"))
    paths = {item.entry.path for item in applied.generated} | set(image_tree.nodes) | {""}
    for path in paths:
        assert path.rpartition("/")[0] in paths


def test_the_result_does_not_depend_on_the_order_of_paths_or_packages() -> None:
    first = _encode(effects.apply(tree(PATHS, [REDIS, ODD]), AMD64))
    for seed in range(3):
        paths = list(PATHS.items())
        random.Random(seed).shuffle(paths)
        shuffled_tree = tree(dict(paths), [ODD, REDIS] if seed else [REDIS, ODD])
        nodes = list(shuffled_tree.nodes.items())
        random.Random(seed).shuffle(nodes)
        assert (
            _encode(effects.apply(Tree(dict(nodes), shuffled_tree.read, shuffled_tree.packages), AMD64))
            == first
        )


def _encode(applied: AppliedEffects) -> bytes:
    return msgspec.json.encode(applied, order="deterministic")


def test_locked_ids_are_kept_when_a_package_is_added() -> None:
    first_result = effects.apply(tree(PATHS, [REDIS]), AMD64)
    added_package = package("a", postinst="adduser --system --group aaa\n")
    second_result = effects.apply(
        tree(PATHS, [REDIS, added_package]), EffectSettings(architecture="amd64", ids=first_result.ids)
    )
    assert second_result.ids.users == {"aaa": 101, "redis": 100}


def test_generated_entries_have_time_zero_and_shipped_ones_keep_theirs() -> None:
    image_tree = tree(PATHS, [REDIS])
    nodes = {
        path: msgspec.structs.replace(node, entry=msgspec.structs.replace(node.entry, mtime=5))
        for path, node in image_tree.nodes.items()
    }
    applied = effects.apply(Tree(nodes, image_tree.read, image_tree.packages), AMD64)
    assert applied.directories["etc/redis"].mtime == 5
    for item in applied.generated:
        assert item.entry.mtime == (5 if item.entry.path in ("etc/redis/redis.conf", "run/redis") else 0)


def test_without_a_base_only_the_package_database_is_generated() -> None:
    applied = effects.apply(tree({}, []), EffectSettings(architecture="amd64", base="none"))
    assert {item.entry.path.split("/")[0] for item in applied.generated} == {"var"}
    assert all(item.entry.path.startswith(("var/lib/dpkg", "var")) for item in applied.generated)


def test_each_effect_has_a_module_and_a_unit_test_of_its_own() -> None:
    modules = [effect.__module__.rpartition(".")[2] for effect in effects.EFFECTS]
    assert len(modules) == len(set(modules))
    for module in modules:
        assert Path(__file__).with_name(f"test_{module}.py").is_file()
