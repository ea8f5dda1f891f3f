from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.support.deb import Deb, Item
from tests.support.workshop import Workshop


def deb(name: str, depends: str = "", **fields: str) -> Deb:
    content = [Item(f"usr/share/{name}", bytes(2048))]
    return Deb(name, "1.0", fields={"Depends": depends, **fields}, files=content)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    new_workshop = Workshop(tmp_path)
    new_workshop.publish(
        deb("app", "mid, tiny | big"),
        deb("mid", "deep (>= 1)"),
        deb("deep", "deeper"),
        deb("deeper"),
        deb("side", "tiny"),
        deb("tiny", Provides="little"),
        deb("big", "deeper"),
        deb("base-files", "nobody"),
        deb("base-passwd"),
    )
    new_workshop.write(["app", "side", "-big"], base="data")
    return new_workshop


def explain(shop: Workshop, capsys: pytest.CaptureFixture[str], name: str, *more: str) -> str:
    ran = shop.run(
        capsys, "explain", str(shop.recipe_path), name, "--arch", "amd64", "--progress", "none", *more
    )
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def test_explain_prints_the_shortest_chain_and_the_size(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    line = shop.recipe_path.read_text().splitlines().index('    "app",') + 1
    assert explain(shop, capsys, "deep") == (
        "deep 1.0\n"
        f"  app: the recipe requests it (recipe.yaml:{line}:5)\n"
        "  mid: app needs mid\n"
        "  deep: mid needs deep (>= 1)\n"
        "  without it the image would be 4.1 kB smaller: deeper would be removed as well\n"
    )
    assert explain(shop, capsys, "tiny") == (
        "tiny 1.0\n"
        f"  app: the recipe requests it (recipe.yaml:{line}:5)\n"
        "  tiny: app needs tiny | big\n"
        "  needed by 2: app (tiny | big), side (tiny)\n"
        "  without it the image would be 2.0 kB smaller\n"
    )


def test_absent_packages_are_explained(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    line_number = shop.recipe_path.read_text().splitlines().index('    "-big"') + 1
    assert explain(shop, capsys, "big") == (
        "big is not in the image\n"
        f"  it is excluded (recipe.yaml:{line_number}:5)\n"
        "  app needs tiny | big: tiny was chosen\n"
    )
    assert explain(shop, capsys, "base-files") == (
        "base-files 1.0\n  base: data installs its files without its dependencies\n"
    )


def test_explain_says_why_a_provider_was_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = Workshop(tmp_path)
    shop.publish(
        deb("app", "whole | part-virtual, awk"),
        deb("whole", "library, other", Provides="part-virtual"),
        deb("part", Source="whole", Provides="part-virtual"),
        deb("library"),
        deb("other"),
        deb("gawk", Provides="awk"),
        deb("original-awk", Provides="awk", Priority="required"),
    )
    shop.write(["app"])
    assert explain(shop, capsys, "part").splitlines()[3:] == [
        "  chosen for app instead of whole: it adds 1 package (2.0 kB), not 3 packages (6.1 kB)",
        "  without it the image would be 2.0 kB smaller",
    ]
    assert explain(shop, capsys, "original-awk").splitlines()[3:] == [
        "  chosen for app by priority and size among the providers: gawk",
        "  without it the image would be 2.0 kB smaller",
    ]
    (explanation,) = msgspec.json.decode(explain(shop, capsys, "part", "--json"))
    assert explanation["choices"] == [
        {
            "package": "app",
            "relation": "whole | part-virtual",
            "reason": "cost",
            "options": [
                {"package": "whole", "added_packages": 3, "added_size": 6144},
                {"package": "part", "added_packages": 1, "added_size": 2048},
            ],
        }
    ]


@pytest.mark.parametrize(("name", "hint"), [("deepr", "  hint: did you mean deeper?\n"), ("nowhere", "")])
def test_packages_that_do_not_exist_are_an_error(
    shop: Workshop, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    explain(shop, capsys, "deep")
    ran = shop.run(capsys, "explain", str(shop.recipe_path), name, "--progress", "none")
    assert (ran.code, ran.out, ran.err) == (1, "", f"error: no package '{name}'\n{hint}")


def test_an_explanation_is_printed_as_json(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    (explanation,) = msgspec.json.decode(explain(shop, capsys, "deeper", "--format", "json"))
    assert explanation["presence"] == "installed"
    assert [step["package"] for step in explanation["chain"]] == ["app", "mid", "deep", "deeper"]
    assert explanation["exclusive"] == ["deeper"]
    assert explanation["exclusive_size"] == 2048


def test_versions_missing_from_the_archive_are_explained_by_newer_ones(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    explain(shop, capsys, "deep")
    shop.publish(deb("app", "mid, tiny | big"), Deb("mid", "1.1", fields={"Depends": "deep"}), deb("deep"))
    text = explain(shop, capsys, "deep")
    assert "deep: mid needs deep\n" in text
    assert text.endswith("  explained by newer versions than the locked ones: mid\n")
