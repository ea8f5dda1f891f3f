"""Whether the commands exist, can be executed, and find everything that they are linked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.checks.accounts import process_user
from pumice.checks.finding import Finding
from pumice.checks.known_programs import package_hint
from pumice.checks.reach import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage
    from pumice.checks.reach import MissingFile


def check_programs(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each command that cannot start, and for each file that its programs lack."""
    for key, words in commands(image):
        finding = _check_command(image, key, words[0])
        if finding is not None:
            yield finding
    for missing in image.reach.missing:
        yield _describe(missing)


def _check_command(image: CheckedImage, key: str, word: str) -> Finding | None:
    found_path = image.find_command(word)
    if found_path is None:
        place = "" if "/" in word else f" in PATH ({':'.join(image.search_path())})"
        return Finding(
            check="command",
            message=f"the program {word!r} does not exist{place}",
            hint=_missing_program_hint(word),
            key=key,
            path=word,
        )
    entry = image.entry(found_path)
    if entry is None or entry.kind != "file":
        return Finding(
            check="command", message=f"the program {word!r} is not a regular file", key=key, path=word
        )
    if not entry.mode & 0o111:
        return Finding(
            check="command",
            message=f"the program {word!r} is not executable (mode {entry.mode & 0o7777:04o})",
            hint="set 'mode: 0755' for it under 'files'",
            key=key,
            path=word,
        )
    user = process_user(image)
    if user is not None and not user.can_execute(entry):
        return Finding(
            check="command",
            message=f"the user {user.name!r} may not execute the program {word!r} (owner {entry.uid}, mode "
            f"{entry.mode & 0o7777:04o})",
            hint="set 'mode: 0755' or an 'owner' for it under 'files' or 'permissions'",
            key=key,
            path=word,
        )
    return None


def _missing_program_hint(word: str) -> str:
    if any(character.isspace() for character in word):
        from pumice.recipe.hints import format_command

        return f"write a list, because no shell splits the text: {format_command(word)}"
    return package_hint(word) or "add the package that contains it, or add the file under 'files'"


_DESCRIPTIONS = {
    "loader": "the loader {name} of /{by} is not in the image",
    "library": "the library {name}, which /{by} needs, is not in the image",
    "interpreter": "{name}, which interprets /{by}, is not in the image",
}


def _describe(missing: MissingFile) -> Finding:
    hint = package_hint(missing.name)
    if missing.kind == "loader":
        hint = "add libc6, or link the program statically"
    elif missing.kind == "library":
        hint = "add the package that contains it"
    return Finding(
        check=missing.kind,
        message=_DESCRIPTIONS[missing.kind].format(name=missing.name, by=missing.by),
        hint=hint or "add the package that contains it",
        key=missing.key,
        path=missing.by,
    )
