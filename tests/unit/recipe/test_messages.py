"""Every message of the recipe reader, word by word: tests/golden/recipe/NAME.yaml gives NAME.txt.

To renew them after a change: PUMICE_RENEW=1 pytest tests/unit/recipe/test_messages.py, and read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pumice.errors import RecipeError
from pumice.recipe.load import load_recipe

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "recipe"
RENEW = os.environ.get("PUMICE_RENEW") == "1"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.yaml")))
def test_all_problems_are_reported_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(RecipeError) as caught:
        load_recipe(Path(f"{name}.yaml"))
    expected = GOLDEN / f"{name}.txt"
    if RENEW:
        expected.write_text(f"{caught.value}\n")
    assert f"{caught.value}\n" == expected.read_text()


def test_messages_are_sentences_without_a_full_stop() -> None:
    for path in GOLDEN.glob("*.txt"):
        for line in path.read_text().splitlines():
            assert not line.endswith("."), f"{path.name}: {line}"
