"""The layer plan: properties of each policy for any set of packages."""

from __future__ import annotations

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pumice.packing import layer_plan
from pumice.packing.layer_plan import LayerGroup
from pumice.recipe.lock import LockedPackage
from pumice.recipe.model import LayerPolicy

_MB = 1_000_000


def _package(name: str, size: int, source: str = "") -> LockedPackage:
    return LockedPackage(
        name=name, version="1", architecture="amd64", archive="a", suite="s", path="p", size=size,
        sha256="0" * 64, source=source,
    )  # fmt: skip


_SETS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=4), st.integers(1, 80 * _MB), max_size=150
).map(lambda sizes: [_package(name, size, name[0]) for name, size in sizes.items()])


@given(_SETS, st.sampled_from(["auto", "packages", "single"]), st.randoms())
def test_each_package_is_in_one_layer_in_any_order(
    packages: list[LockedPackage], policy: LayerPolicy, random: Random
) -> None:
    plan = layer_plan.plan_layers(packages, policy)
    assert sorted(name for group in plan for name in group.packages) == sorted(
        package.name for package in packages
    )
    shuffled = list(packages)
    random.shuffle(shuffled)
    assert layer_plan.plan_layers(shuffled, policy) == plan
    most = {"auto": 36, "packages": 96, "single": 1}[policy]
    assert len(plan) <= most
    assert all(len(group.packages) == 1 for group in plan if group.has_own_layer)


@given(_SETS)
def test_a_huge_package_has_its_own_layer(packages: list[LockedPackage]) -> None:
    huge = [package.name for package in packages if package.size > 32 << 20][:35]
    own_layer_packages = {
        group.packages[0] for group in layer_plan.plan_layers(packages, "auto") if group.has_own_layer
    }
    if len(huge) < 35:
        assert set(huge) <= own_layer_packages


@given(_SETS, st.data())
def test_an_update_of_the_same_size_keeps_the_plan(
    packages: list[LockedPackage], data: st.DataObject
) -> None:
    if not packages:
        return
    updated_package = data.draw(st.sampled_from(packages))
    updated = [
        msgspec.structs.replace(package, version="2", sha256="1" * 64)
        if package.name == updated_package.name
        else package
        for package in packages
    ]
    assert layer_plan.plan_layers(updated, "auto") == layer_plan.plan_layers(packages, "auto")


def test_small_packages_of_one_source_share_a_layer() -> None:
    packages = [_package("liba", 1000, "a"), _package("a-bin", 900, "a"), _package("b", 10 * _MB)]
    assert layer_plan.plan_layers(packages, "auto") == (
        LayerGroup("b", ("b",), has_own_layer=True),
        LayerGroup(layer_plan.plan_layers(packages, "auto")[1].name, ("a-bin", "liba")),
    )


def test_the_smallest_packages_share_the_last_layer_above_the_limit() -> None:
    packages = [_package(f"p{number:03}", 1000 * (number + 1)) for number in range(130)]
    plan = layer_plan.plan_layers(packages, "packages")
    assert len(plan) == 96
    assert plan[-1].name == "small packages"
    assert "p000" in plan[-1].packages
    assert "p129" not in plan[-1].packages


def test_no_packages_need_no_layer() -> None:
    assert (
        layer_plan.plan_layers([], "single")
        == layer_plan.plan_layers([], "auto")
        == layer_plan.plan_layers([], "packages")
        == ()
    )
