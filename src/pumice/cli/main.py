"""The door: choose a verb, import it alone, and turn what goes wrong into text and an exit code.

This file is on the path of ``pumice --help``, which must cost about as much as starting Python:
no argparse, re, typing or json here. A verb is its module ``pumice.cli.<verb>`` with a
``main(arguments) -> int``; the table below is all that help and tab completion need to know.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("pumice.cli.init", "Write a commented starter recipe", "Recipes"),
    "show": ("pumice.cli.show", "Print a recipe in full, and where each value comes from", "Recipes"),
    "schema": ("pumice.cli.schema", "Print the JSON Schema of recipes, for editors", "Recipes"),
    "lock": ("pumice.cli.lock", "Pin the packages that a recipe stands for", "Recipes"),
    "explain": ("pumice.cli.explain", "Show why a package is in an image", "Recipes"),
    "build": ("pumice.cli.build", "Build the image of a recipe", "Images"),
    "run": ("pumice.cli.run", "Run an image, without root or a daemon", "Images"),
    "images": ("pumice.cli.images", "List the images in the local store", "Images"),
    "inspect": ("pumice.cli.inspect", "Show an image's platforms, config, layers and packages", "Images"),
    "files": ("pumice.cli.files", "List an image's files, with their packages and sizes", "Images"),
    "tree": ("pumice.cli.tree", "Show an image's layers and what is attached to it", "Images"),
    "diff": ("pumice.cli.diff", "Show how two images differ", "Images"),
    "sbom": ("pumice.cli.sbom", "Print what an image is made of", "Evidence"),
    "licenses": ("pumice.cli.licenses", "List the licenses of what is in an image", "Evidence"),
    "reproduce": ("pumice.cli.reproduce", "Build an image again from its provenance", "Evidence"),
    "key": ("pumice.cli.key", "Make, list and move the keys that images are signed with", "Trust"),
    "sign": ("pumice.cli.sign", "Sign an image", "Trust"),
    "attest": ("pumice.cli.attest", "State something about an image, signed", "Trust"),
    "verify": ("pumice.cli.verify", "Say who signed an image, and whether that counts", "Trust"),
    "trust": ("pumice.cli.trust", "Say whose images may be used here, and why one may", "Trust"),
    "pull": ("pumice.cli.pull", "Pull an image from a registry into the local store", "Registries"),
    "push": ("pumice.cli.push", "Push an image and what belongs to it to a registry", "Registries"),
    "copy": (
        "pumice.cli.copy",
        "Copy an image and what belongs to it anywhere",
        "Registries",
    ),
    "tags": ("pumice.cli.tags", "List the tags of a repository", "Registries"),
    "resolve": ("pumice.cli.resolve", "Print the digest that a reference stands for", "Registries"),
    "delete": ("pumice.cli.delete", "Delete an image in a registry", "Registries"),
    "login": ("pumice.cli.login", "Log in to a registry", "Registries"),
    "logout": ("pumice.cli.logout", "Forget the login for a registry", "Registries"),
    "rm": ("pumice.cli.rm", "Remove images from the local store", "Store"),
    "gc": ("pumice.cli.gc", "Free the space of what no image needs", "Store"),
    "store": ("pumice.cli.store", "Verify the local store", "Store"),
    "serve": ("pumice.cli.serve", "Be a registry that images are pushed to and pulled from", "Registry"),
    "completion": ("pumice.cli.completion", "Print a completion script for bash, zsh or fish", "Shell"),
}
"""Verb to module, one line of help, and the group it is listed under."""

INTERNAL_ERROR = 70
INTERRUPTED = 130


def run() -> None:
    """Be the program ``pumice``: never returns."""
    _open_closed_streams()
    if sys.stdout is not None:
        # A terminal's old encoding lacks some letters of paths; that is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = main(sys.argv[1:])
    if code == INTERRUPTED:
        _leave(code)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Put ``/dev/null`` in the place of closed standard streams, lest another file gets their number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(number, mode))


def _leave(code: int) -> None:
    """End at once: at an ordinary end Python waits for threads, and one may wait for a mirror."""
    if sys.stderr is not None:
        if sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h")  # a progress display hides the cursor
        sys.stderr.flush()
    os._exit(code)


def main(argv: Sequence[str]) -> int:
    """Do what ``argv`` (without the program's name) asks; return the exit code."""
    try:
        code = _dispatch(list(argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        code = INTERRUPTED
    except BrokenPipeError:
        code = 1  # the reader of our output went away: nothing to say
    except Exception as problem:  # noqa: BLE001 - this is where every surprise becomes a sentence
        code = _fail(problem)
    _let_go()
    return code


def _let_go() -> None:
    """Write out what is left; what cannot be written must not fail a second time, at Python's end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(argv: list[str]) -> int:
    first = argv[0] if argv else ""
    if first in {"", "-h", "--help"} or argv in (["help"], ["help", "help"]):
        sys.stdout.write(overview())
        return 0
    if first in {"-V", "--version"}:
        from pumice.version import __version__

        sys.stdout.write(f"pumice {__version__}\n")
        return 0
    if first == "help":
        first, argv = argv[1], ["help", "--help"]
    try:
        command = _command(first)
        from pumice.cli.streams import filtered

        with filtered():
            return command(argv[1:])
    except SystemExit as stop:  # argparse ends so after --help
        return stop.code if isinstance(stop.code, int) else 0


def _command(verb: str) -> Verb:
    """Import the one module that ``verb`` needs."""
    if verb not in COMMANDS:
        raise _unknown(verb)
    import importlib

    command: Verb = importlib.import_module(COMMANDS[verb][0]).main
    return command


if TYPE_CHECKING:
    from collections.abc import Callable

    Verb = Callable[[Sequence[str]], int]


def _unknown(word: str) -> Exception:
    from difflib import get_close_matches

    from pumice.errors import UsageError

    kind = "option" if word.startswith("-") else "command"
    close = get_close_matches(word, [*COMMANDS, "help", "--help", "--version"], n=1)
    hint = f"did you mean '{close[0]}'?" if close else "'pumice --help' lists the commands"
    return UsageError(f"there is no {kind} '{word}'", hint=hint)


def overview() -> str:
    """Return the text of ``pumice --help``, made from the table alone."""
    lines = [
        "Cut small, reproducible OCI images out of Debian packages, and run them.",
        "",
        "usage: pumice COMMAND [ARGUMENT...]",
    ]
    group = ""
    for verb, (_, summary, where) in COMMANDS.items():
        if where != group:
            lines += ["", f"{where}:"]
            group = where
        lines.append(f"  {verb:<12}{summary}")
    lines += [
        "",
        "'pumice help COMMAND' explains one, 'pumice --version' prints the version.",
        "Start with: pumice init, then pumice build recipe.yaml",
        "",
    ]
    return "\n".join(lines)


def _fail(problem: Exception) -> int:
    """Say on stderr what went wrong, as much as a person needs; return the exit code."""
    from pumice.cli import output
    from pumice.errors import PumiceError
    from pumice.terminal import printable, printable_line

    if os.environ.get("PUMICE_DEBUG") == "1":
        import traceback

        sys.stderr.write(printable("".join(traceback.format_exception(problem))))
    if isinstance(problem, PumiceError):
        sys.stderr.write(output.describe(problem, colour=output.has_colour(sys.stderr)))
        return problem.exit_code
    if isinstance(problem, OSError):
        # Rooms turn what they expect into their own errors; the rest is still the machine's state, not a bug.
        place = f"{problem.filename}: " if problem.filename else ""
        text = f"{place}{(problem.strerror or str(problem)).lower()}"
        sys.stderr.write(f"error: {printable_line(text)}\n")
        return 1
    what = printable_line(" ".join(f"{type(problem).__name__}: {problem}".split()))
    sys.stderr.write(
        f"error: Pumice failed in a way it should not ({what[:300]}); please report it with the traceback "
        "that PUMICE_DEBUG=1 shows\n"
    )
    return INTERNAL_ERROR
