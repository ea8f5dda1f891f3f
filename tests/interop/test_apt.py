"""Solutions for real packages, judged by apt on the same indexes and an empty root.

Neither side has the Essential packages: the recipes say ``base: none``, and apt does not add them
to an empty root by itself.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pumice.errors import ResolveError
from pumice.recipe.model import Request
from pumice.resolve import Requirements, resolve
from tests.support import sampling, universe
from tests.support.apt import Apt, Verdict
from tests.support.peers import absent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.universe import TextUniverse

pytestmark = [pytest.mark.mirror, pytest.mark.peer("apt-get")]

SEED = 20261121
COUNT = 200
CI_COUNT = 20
LARGE = (
    "python3", "ca-certificates", "nodejs", "git", "nginx", "postgresql-client", "openjdk-17-jre-headless",
)  # fmt: skip


@pytest.fixture(scope="module")
def debian() -> TextUniverse:
    apt_result = universe.from_apt()
    if not apt_result.names():
        absent("apt has fetched no indexes of Debian: run apt-get update")
    return apt_result


@pytest.fixture(scope="module")
def apt(tmp_path_factory: pytest.TempPathFactory, debian: TextUniverse) -> Apt:
    folder: Path = tmp_path_factory.mktemp("apt")
    return Apt(folder, debian.architecture)


def resolve_with_pumice(debian: TextUniverse, *names: str) -> tuple[str, ...] | None:
    """Return Pumice's solution as ``name=version``, None if there is none."""
    try:
        solution = resolve(debian, Requirements(requests=tuple(Request(name=name) for name in names)))
    except ResolveError:
        return None
    return tuple(sorted(f"{record.name}={record.version}" for record in solution.packages))


def compare(
    apt: Apt, names: tuple[str, ...], pumice_packages: tuple[str, ...] | None
) -> tuple[Verdict, Verdict | None]:
    """Return apt's solution for the names, and for exactly our packages if they differ."""
    verdict = apt.install(names)
    apt_packages = (
        None
        if pumice_packages is None or pumice_packages == verdict.packages
        else apt.install(pumice_packages)
    )
    return verdict, apt_packages


@pytest.mark.sampled
def test_two_hundred_packages_resolve_as_with_apt(debian: TextUniverse, apt: Apt) -> None:
    names = sampling.sample(random.Random(SEED).sample(sorted(debian.names()), COUNT), CI_COUNT)
    pumice_packages = [resolve_with_pumice(debian, name) for name in names]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(lambda name, found: compare(apt, (name,), found), names, pumice_packages))
    problems = []
    for name, packages, (verdict, apt_packages) in zip(names, pumice_packages, verdicts, strict=True):
        if (packages is None) != bool(verdict.refusal):
            problems.append(f"{name}: we say {packages is not None}, apt says {verdict.refusal or 'yes'}")
        elif packages is not None and len(packages) > len(verdict.packages):
            problems.append(f"{name}: {len(packages)} packages, apt has {len(verdict.packages)}")
        elif apt_packages is not None and apt_packages.packages != packages:
            problems.append(f"{name}: apt does not take our packages as they are: {apt_packages}")
    assert not problems, "\n".join(problems)


def test_a_large_set_resolves_as_with_apt(debian: TextUniverse, apt: Apt) -> None:
    pumice_packages = resolve_with_pumice(debian, *LARGE)
    assert pumice_packages is not None
    verdict, apt_packages = compare(apt, LARGE, pumice_packages)
    assert not verdict.refusal
    assert len(pumice_packages) <= len(verdict.packages)
    assert apt_packages is None or apt_packages.packages == pumice_packages
    names = {package.partition("=")[0] for package in pumice_packages}
    assert "usrmerge" not in names


def test_apt_accepts_a_smaller_provider_from_the_same_source(debian: TextUniverse, apt: Apt) -> None:
    packages = resolve_with_pumice(debian, "php8.2-fpm")
    assert packages is not None
    verdict, apt_packages = compare(apt, ("php8.2-fpm",), packages)
    assert apt_packages is not None
    assert apt_packages.packages == packages
    names = {package.partition("=")[0] for package in packages}
    apt_names = {package.partition("=")[0] for package in verdict.packages}
    assert "systemd" in apt_names - names
    assert names - apt_names == {"systemd-standalone-tmpfiles", "usr-is-merged"}


def test_apt_adds_no_essential_package_by_itself(debian: TextUniverse, apt: Apt) -> None:
    """The comparison relies on this: apt does not install an Essential package that is not needed."""
    names = {package.partition("=")[0] for package in apt.install(["tzdata"]).packages}
    essential = {record.name for record in debian.essential()}
    assert essential - names


def test_essential_packages_agree_with_apt(debian: TextUniverse, apt: Apt) -> None:
    solution = resolve(debian, Requirements(base="essential"))
    pumice_names = tuple(sorted(f"{record.name}={record.version}" for record in solution.packages))
    verdict = apt.install([record.name for record in debian.essential()])
    assert len(pumice_names) <= len(verdict.packages)
    assert apt.install(pumice_names).packages == pumice_names
