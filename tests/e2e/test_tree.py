"""The command ``pumice tree``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.world import World


def test_tree_lists_layers_and_artifacts_below_an_image(tmp_path: Path) -> None:
    world = World(tmp_path)
    digest = world.build()
    text = world.run("tree", "example.com/hello").stdout
    assert text.splitlines()[0].startswith(f"linux/amd64  {digest[:19]}  ")
    for what in ("layer", "SBOM (SPDX)", "SBOM (CycloneDX)", "provenance (SLSA v1)"):
        assert f"── {what}  sha256:" in text
    value = json.loads(world.run("tree", "example.com/hello", "--format", "json").stdout)
    assert value["digest"] == digest
    assert [artifact["what"] for artifact in value["below"]].count("layer") >= 2


def test_tree_lists_layers_of_an_image_without_evidence(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.build("-o", "oci:image")
    index = world.project / "image" / "index.json"
    value = json.loads(index.read_bytes())
    del value["manifests"][0]["annotations"]["dev.pumice.referrers"]
    index.write_text(json.dumps(value))
    text = world.run("tree", "oci:image").stdout
    assert "layer" in text
    assert "SBOM" not in text


def test_an_invalid_list_of_referrers_is_reported(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.build("-o", "oci:image")
    index = world.project / "image" / "index.json"
    for invalid_digest in ("sha256:" + "0" * 64, "../../etc/passwd", "sha512:00"):
        value = json.loads(index.read_bytes())
        value["manifests"][0]["annotations"]["dev.pumice.referrers"] = invalid_digest
        index.write_text(json.dumps(value))
        pumice_run = world.run("tree", "oci:image")
        assert pumice_run.code in (8, 10)
        assert "Traceback" not in pumice_run.stderr


def test_invalid_arguments_are_reported(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.run("tree").code == 2
    assert world.run("tree", "none:1").code == 10
