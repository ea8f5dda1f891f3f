"""``pumice slice``: list, find, info and check, on a release of the test and on those of Pumice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.slices.releases import builtin_names
from tests.support.slices import write_release

TOOL = """\
package: tool
slices:
  bins:
    hint: Programs
    essential: [tool_libs]
    contents:
      /usr/bin/tool: {arch: [amd64, arm64]}
      /etc/tool.conf: {text: "a: b\\n", mode: 0600, mutable: true}
    mutate: |
      content.write("/etc/tool.conf", "")
  libs:
    contents:
      /usr/lib/libtool.so.*:
"""

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_release(tmp_path / "release", {"tool": TOOL, "other": "package: other\nslices: {data: }\n"})


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["slice", *arguments]) == code
    return capsys.readouterr()


def test_list_prints_all_slices_or_those_of_packages(capsys: Out) -> None:
    lines = run(capsys, "list", "--release", "./release")[0].splitlines()
    assert [line.split()[0] for line in lines] == ["slice", "other_data", "tool_bins", "tool_libs"]
    output = run(capsys, "list", "tool", "--release", "./release", "--json")[0]
    assert [item["slice"] for item in json.loads(output)] == ["tool_bins", "tool_libs"]


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        (["tool"], ["tool_bins", "tool_libs"]),
        (["tol"], ["tool_bins", "tool_libs"]),
        (["t*", "_bins"], ["tool_bins"]),
        (["_lib"], ["tool_libs"]),
        (["tool_b?ns"], ["tool_bins"]),
        (["nothing"], []),
    ],
)
def test_find_accepts_patterns_and_one_wrong_character(
    capsys: Out, terms: list[str], found: list[str]
) -> None:
    output = run(capsys, "find", *terms, "--release", "./release", "--json", code=0 if found else 1)[0]
    assert [item["slice"] for item in json.loads(output)] == found


def test_info_prints_definitions_that_can_be_read_again(capsys: Out, tmp_path: Path) -> None:
    text = run(capsys, "info", "tool", "--release", "./release")[0]
    assert "essential:\n            tool_libs: {}\n" in text
    other = write_release(tmp_path / "copy", {"tool": text}, (tmp_path / "release/chisel.yaml").read_text())
    (other / "chisel.yaml").write_text(
        (other / "chisel.yaml").read_text().replace("format: v1", "format: v3")
    )
    assert run(capsys, "info", "tool", "--release", "./copy")[0] == text
    documents = run(capsys, "info", "tool_libs", "other", "--release", "./release")[0].split("---\n")
    assert [document.splitlines()[0] for document in documents] == ["package: tool", "package: other"]


def test_check_reports_every_problem(capsys: Out, release: Path) -> None:
    assert "3 slices of 2 packages" in run(capsys, "check", "--release", "./release")[0]
    script = TOOL.replace('content.write("/etc/tool.conf", "")', "while True: pass")
    write_release(release, {"tool": script})
    assert main(["slice", "check", "--release", "./release"]) == 8
    assert "slices/tool.yaml:10:1: the script of tool_bins failed: 'while' is not" in capsys.readouterr().err
    write_release(release, {"tool": TOOL.replace("/usr/bin/tool", "usr/bin/tool"), "other": "package: x\n"})
    assert main(["slice", "check", "--release", "./release"]) == 8
    error = capsys.readouterr().err
    assert "error: release/slices/other.yaml:1:10: " in error
    assert "error: release/slices/tool.yaml:7:7: " in error


@pytest.mark.parametrize("name", builtin_names())
def test_the_releases_that_come_with_pumice_have_no_problems(capsys: Out, name: str) -> None:
    assert "no problems" in run(capsys, "check", "--release", name)[0]
