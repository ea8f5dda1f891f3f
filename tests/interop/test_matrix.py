"""Every combination of signing and verifying programs gives the documented result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import matrix, skopeo
from tests.support.peers import need
from tools import interop

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> matrix.Results:
    for program in ("cosign2", "cosign3", "docker-registry"):
        need(program)
    skopeo.command()
    return matrix.run(tmp_path_factory.mktemp("matrix"))


def test_peers_verify_our_signatures(answers: matrix.Results) -> None:
    assert {
        verdict for (signature_kind, _, _), verdict in answers.items() if signature_kind.writer == "pumice"
    } <= {
        "yes",
        "yes (`--trusted-root`)",
    }


def test_pumice_verifies_the_signatures_of_peers(answers: matrix.Results) -> None:
    for (signature_kind, form, reader), verdict in answers.items():
        if reader == "pumice" and verdict not in ("yes", "yes (`--as`)"):
            assert (
                answers[signature_kind, form, signature_kind.writer] == verdict == "no: not by the key"
            )  # the writing program cannot verify it either


def test_the_documented_matrix_is_current(answers: matrix.Results) -> None:
    text = Path(interop.PAGE).read_text()
    assert text == interop.replace_table(matrix.format_table(answers)), "run: python tools/interop.py"
