"""The example on the page of the Python API works, except for the name of the registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.serving import serving

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "registry-api.md"


def test_the_example_of_the_reference_page_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    with serving(tmp_path / "root") as registry:
        digest, _ = registry.push_image("team/app", "1.0")
        names: dict[str, object] = {}
        exec(example[1].replace("registry.example", registry.host), names)
    assert digest in capsys.readouterr().out
    assert names["first"] == b"layer"
