"""The programs of the units that systemd starts, for images whose command is systemd."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pumice.checks.finding import Finding
from pumice.checks.known_programs import package_hint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.runnable_image import RunnableImage

_ENABLED = re.compile(r"(?:etc|usr/lib)/systemd/system/([^/]+)\.(?:wants|requires)/[^/]+\.service")
_STARTED_TARGETS = frozenset(("default.target", "multi-user.target", "basic.target", "sysinit.target"))
_EXEC = re.compile(r"^ExecStart=[@:+!]*(?!-)([^\n]+)", re.MULTILINE)
"""A program whose failure does not count has the prefix ``-`` (systemd.service(5))."""


def started_programs(image: RunnableImage) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each enabled unit and its command, if the command of the image is systemd."""
    program = image.find_command(image.run.command[0]) if image.run.command else None
    if program is None or not (image.real_path(program) or "").endswith("lib/systemd/systemd"):
        return
    for path in image.tree.nodes:
        match = _ENABLED.fullmatch(path)
        if match is None or match[1] not in _STARTED_TARGETS:
            continue
        for line in _EXEC.findall(image.read_text(path).replace("\\\n", " ")):
            try:
                words = tuple(shlex.split(line))
            except ValueError:
                continue
            if words and not set("%$") & set(words[0]):
                yield path.rpartition("/")[2], words


def check_units(image: RunnableImage) -> Iterator[Finding]:
    """Yield a finding for each program of a started unit that does not exist."""
    for unit, words in started_programs(image):
        if image.find_command(words[0]) is None:
            yield Finding(
                check="command",
                message=f"the unit {unit} starts {words[0]}, which is not in the image",
                hint=package_hint(words[0]) or "add the package that contains it",
                key="run.command",
                path=words[0],
            )
