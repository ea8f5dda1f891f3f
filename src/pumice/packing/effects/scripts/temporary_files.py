"""Temporary files of scripts: ``X=$(mktemp); cat > $X <<EOF ...; ucf $X /etc/x.conf``.

They get a path in a directory that is never part of an image. A command that may change one in an unknown
way makes its content unknown, so that nothing is made of half of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.packing.effects.overlay_tree import OverlayTree
    from pumice.packing.effects.scripts.action import ScriptAction
    from pumice.packing.effects.scripts.scope import Value

DIRECTORY = "/.pumice-temporary-files"


def creates_temporary_file(words: Sequence[str]) -> bool:
    """Whether a command prints the path of a temporary file that it created."""
    others = ("-d", "--directory", "-u", "--dry-run")
    return words[0] in ("mktemp", "tempfile") and not any(word in others for word in words[1:])


def temporary_paths(words: Iterable[Value]) -> list[str]:
    """Return the words that are paths of temporary files."""
    return [word for word in words if word is not None and word.startswith(f"{DIRECTORY}/")]


def create_temporary_files(actions: Iterable[ScriptAction], overlay: OverlayTree) -> None:
    """Create the empty temporary files of a script, which only their owner can read."""
    for action in actions:
        for path in temporary_paths((*action.words, *action.output_files)):
            if overlay.make_directory(DIRECTORY) and not overlay.exists(path):
                overlay.write_file(path, b"", 0o600)


def is_temporary(path: str) -> bool:
    """Whether an entry's path is that of a temporary file or of their directory."""
    return f"/{path}/".startswith(f"{DIRECTORY}/")
