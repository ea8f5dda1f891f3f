"""Build hook: add the digests of the modules to a wheel, from which cache keys are computed."""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CodeDigests(BuildHookInterface[Any]):
    """Put the digests of the modules into a wheel; an editable installation looks at the files instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        package = Path(self.root, "src/pumice")
        cache_keys = runpy.run_path(str(package / "cache_keys.py"))
        self._folder = tempfile.TemporaryDirectory(prefix="pumice-wheel-")
        path = Path(self._folder.name, cache_keys["DIGESTS"])
        path.write_text(cache_keys["content_digests"](str(package)), encoding="ascii")
        build_data["force_include"][str(path)] = f"pumice/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling calls it so
        if version != "editable":
            self._folder.cleanup()
