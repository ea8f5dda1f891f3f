from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deb import Deb
from tests.support.workshop import Workshop

APP = Deb("app", "1.0", fields={"Depends": "lib"})


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    new_workshop = Workshop(tmp_path)
    new_workshop.publish(APP, Deb("lib", "1.0"), Deb("lib", "1.0", architecture="arm64"))
    new_workshop.write(["app"])
    return new_workshop


def test_lock_check_and_upgrade(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(shop.recipe_path)
    made = shop.run(capsys, "lock", recipe, "--arch", "amd64", "--progress", "plain")
    assert (made.code, made.out) == (0, "")
    assert made.err.endswith("wrote recipe.lock: 2 packages pinned (amd64)\n")
    again = shop.run(capsys, "lock", recipe, "--arch", "amd64")
    assert again.err == "recipe.lock is up to date: 2 packages pinned (amd64)\n"
    assert shop.run(capsys, "lock", recipe, "--arch", "amd64", "-q").err == ""
    same = shop.run(capsys, "lock", "--check", recipe, "--arch", "amd64")
    assert (same.code, same.out) == (0, "")
    shop.publish(APP, Deb("lib", "1.1"))
    before = shop.lock_path.read_bytes()
    differs = shop.run(capsys, "lock", "--check", recipe, "--arch", "amd64")
    assert (differs.code, differs.out) == (1, "lib 1.0 -> 1.1 (amd64)\n")
    assert shop.lock_path.read_bytes() == before
    upgraded = shop.run(capsys, "lock", "--arch", "amd64", "--upgrade", recipe)
    assert upgraded.code == 0
    assert upgraded.err.endswith(
        "updated recipe.lock (1 upgraded)\n  package  old  new\n  lib      1.0  1.1\n"
    )
    assert shop.pins() == ["app=1.0", "lib=1.1"]


def test_the_json_of_a_lock_and_of_a_check(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    words = (str(shop.recipe_path), "--arch", "amd64", "--json", "-q")
    (new,) = json.loads(shop.run(capsys, "lock", *words).out)
    assert (new["path"], new["written"], new["packages"]) == ("recipe.lock", True, {"amd64": 2})
    assert [change["name"] for change in new["changes"]] == ["app", "lib"]
    (same,) = json.loads(shop.run(capsys, "lock", *words).out)
    assert (same["written"], same["changes"]) == (False, [])
    shop.publish(APP, Deb("lib", "1.1"))
    checked = shop.run(capsys, "lock", "--check", *words)
    change = {"name": "lib", "old_version": "1.0", "new_version": "1.1", "architectures": ["amd64"]}
    (result,) = json.loads(checked.out)
    assert (checked.code, result["written"], result["changes"]) == (1, False, [change])
    template = ("--format", "{{range .Changes}}{{.Name}}{{end}}")
    assert shop.run(capsys, "lock", "--check", *words[:3], *template).out == "lib\n"


@pytest.mark.parametrize(
    "words",
    [
        ["RECIPE", "--upgrade", "lib"],
        ["--upgrade", "lib", "--check", "RECIPE"],
        ["--upgrade", "lib", "RECIPE"],
        ["--upgrade", "RECIPE"],
    ],
)
def test_the_recipe_is_found_on_either_side_of_upgrade(
    shop: Workshop, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    shop.run(capsys, "lock", str(shop.recipe_path), "--arch", "amd64")
    arguments = [str(shop.recipe_path) if word == "RECIPE" else word for word in words]
    assert shop.run(capsys, "lock", "--arch", "amd64", *arguments).code == 0


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["/"], 2, "error: there is no pumice.yaml or recipe.yaml in '/'\n"),
        (["none.yaml"], 3, "none.yaml"),
        (["RECIPE", "--upgrade", "lub"], 2, "error: cannot upgrade 'lub': the lock has no such package"),
        (["RECIPE", "--arch", "vax"], 2, "vax"),
        (
            ["RECIPE", "--chek"],
            2,
            "error: 'pumice lock' has no option '--chek'\n  hint: did you mean '--check'?\n",
        ),
    ],
)
def test_invalid_usage_is_reported_in_one_sentence(
    shop: Workshop, capsys: pytest.CaptureFixture[str], words: list[str], code: int, error: str
) -> None:
    shop.run(capsys, "lock", str(shop.recipe_path), "--arch", "amd64")
    ran = shop.run(capsys, "lock", *[str(shop.recipe_path) if word == "RECIPE" else word for word in words])
    assert (ran.code, ran.out) == (code, "")
    assert error in ran.err
    assert ran.err.count("error:") == 1


def test_changes_are_counted_and_then_listed_up_to_a_limit(
    shop: Workshop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.root)
    many = [Deb(f"p{number:02}", "1.0") for number in range(30)]
    shop.publish(Deb("gone", "2"), Deb("up", "1.0"), Deb("down", "2.0"), *many)
    shop.write(["gone", "up", "down"])
    shop.run(capsys, "lock", "--arch", "amd64")
    shop.publish(Deb("gone", "2"), Deb("up", "1.1"), Deb("down", "1.9"), *many)
    shop.write(["up", "down", *(deb.name for deb in many)])
    lines = shop.run(capsys, "lock", "--arch", "amd64", "--upgrade").err.splitlines()
    start = lines.index("recipe changed; updated recipe.lock (+30, -1, 1 upgraded, 1 downgraded)")
    assert lines[start + 1 : start + 6] == [
        "  package  old  new",
        "  down     2.0  1.9",
        "  up       1.0  1.1",
        "  p00      -    1.0",
        "  p01      -    1.0",
    ]
    assert lines[-1] == "  and 13 more; list all with --verbose, or see 'git diff'"
    assert len(lines) - start == 23
    shop.lock_path.unlink()
    verbose = shop.run(capsys, "lock", "--arch", "amd64", "-v").err
    assert verbose.count("  -    1.0") >= 30
    assert "--verbose" not in verbose


def test_a_lock_of_several_architectures_counts_each(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = str(shop.recipe_path)
    shop.publish(APP, Deb("lib", "1.0"), *(Deb(n, "1.0", architecture="arm64") for n in ("lib", "app")))
    shop.write(["lib"])
    ran = shop.run(capsys, "lock", recipe, "--arch", "amd64")
    ran = shop.run(capsys, "lock", recipe, "--arch", "aarch64,x86_64")
    assert ran.err.splitlines()[-3:] == [
        "no packages for arm64 yet; updated recipe.lock (+1)",
        "  package  old  new",
        "  lib      -    1.0",
    ]
    event = json.loads(shop.run(capsys, "lock", recipe, "--arch", "amd64", "--progress", "json").err)
    assert event == {
        "event": "locked",
        "lock": "recipe.lock",
        "reason": "",
        "packages": {"amd64": 1, "arm64": 1},
        "changes": [],
    }


def test_check_without_a_lock(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    ran = shop.run(capsys, "lock", "--check", str(shop.recipe_path), "--arch", "amd64")
    assert (ran.code, ran.err) == (
        4,
        "error: recipe.lock: the lock does not exist\n  hint: run 'pumice lock' to write it\n",
    )


def test_an_unsolvable_recipe_prints_the_proof(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.publish(Deb("python3-foo", fields={"Depends": "libbar (>= 2)"}), Deb("libbar", "1.9"))
    shop.write(["python3-foo"])
    ran = shop.run(capsys, "lock", str(shop.recipe_path), "--arch", "amd64", "--progress", "none")
    assert ran.code == 5
    sentence = "python3-foo needs libbar (>= 2), the suite has libbar 1.9\n"
    assert ran.err.startswith("error: recipe.yaml:") and sentence in ran.err
    assert not shop.lock_path.exists()


def test_a_bundle_contains_all_packages_of_the_lock(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop.root / "mine.deb").write_bytes(Deb("mine", architecture="all").build())
    shop.write(["app", "./mine.deb"])
    bundle = shop.root / "bundle"
    recipe = str(shop.recipe_path)
    for _ in range(2):
        ran = shop.run(
            capsys, "lock", "--bundle", str(bundle), recipe, "--arch", "amd64", "--progress", "plain"
        )
        assert ran.code == 0
        assert "copied 3 packages of recipe.lock to bundle" in ran.err
    bundled_files = sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*.deb"))
    own_package = next(package for package in shop.lock().packages["amd64"] if package.name == "mine")
    assert bundled_files == [
        "debian/pool/main/a/app/app_1.0_amd64.deb",
        "debian/pool/main/lib/lib/lib_1.0_amd64.deb",
        f"local/{own_package.sha256}/mine.deb",
    ]


def test_locks_are_equal_in_any_environment(shop: Workshop) -> None:
    locks = set()
    for number, (zone, language, seed, mask) in enumerate(
        [("UTC", "C", "0", 0o022), ("Asia/Tokyo", "de_DE.UTF-8", "7", 0o077)]
    ):
        environment = {
            **os.environ,
            "TZ": zone,
            "LANG": language,
            "PYTHONHASHSEED": seed,
            "PUMICE_HOME": str(shop.root / f"home{number}"),
        }
        shop.lock_path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pumice", "lock", str(shop.recipe_path), "--arch", "amd64"]
        subprocess.run(command, check=True, env=environment, umask=mask, cwd=shop.root if number else "/")
        locks.add(shop.lock_path.read_bytes())
    assert len(locks) == 1
