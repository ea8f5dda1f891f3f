"""`str.splitlines` splits at ten characters, most of which paths and names may have."""

from __future__ import annotations

from tests.project.test_architecture import tracked
from tests.support.docs import ROOT

_ALLOWED = {
    "tables of this project": (
        "checks/known_programs.py",
        "evidence/license_expressions.py",
        "omission/tables.py",
        "packing/config.py",
        "packing/effects/model.py",
        "packing/effects/scripts/builtin_commands.py",
        "slices/draft/contents.py",
        "slices/draft/path_rules.py",
        "slices/draft/requirements.py",
        "slimming/tables.py",
    ),
    "files that users edit, with the line ends of any system": (
        "checks/written_files.py",
        "distro/debian/apt_setup.py",
        "formats/aptsources.py",
        "registry/server/access_files.py",
        "runtime/pod_inputs/files.py",
        "slices/draft/evidence.py",
        "slices/draft/redraft.py",
        "trust/policy.py",
        "trust/unsigned_images.py",
    ),
    "messages of programs": (
        "assembly/traced_run.py",
        "runtime/launch/engines.py",
        "trust/gpg.py",
    ),
}


def test_lines_of_files_end_with_a_newline_only() -> None:
    """Use `pumice.formats.lines.split_lines`; what is printed may be split as people see it."""
    sources = ROOT / "src" / "pumice"
    found = {
        str(path.relative_to(sources))
        for path in tracked("src/pumice/**/*.py")
        if path.suffix == ".py" and ".splitlines()" in path.read_text(encoding="utf-8")
    }
    printed = {name for name in found if name.startswith("cli/")}
    assert found - printed == {name for names in _ALLOWED.values() for name in names}
