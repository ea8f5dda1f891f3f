"""The program ``pumice``: run one command, and turn failures into messages and exit codes.

``pumice --help`` must take little longer than starting Python, so this module imports no argparse, re,
typing or json, and only the module of the command that runs, which `commands` names.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.cli.code_cache import CodeCache
    from pumice.cli.code_cache_writer import Recorder

_QUICK = ("run", "exec")
"""Commands that start a program, and have a short way to do that."""

INTERNAL_ERROR = 70
INTERRUPTED = 130


def run() -> None:
    """Run the program ``pumice``; never returns."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Not every terminal encoding has all characters of a path, which must not make a command fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = main(sys.argv[1:])
    # Whoever waits for a program should not wait for Python, too.
    if code == INTERRUPTED or (len(sys.argv) > 1 and sys.argv[1] in _QUICK):
        _exit_at_once(code)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Open ``/dev/null`` for closed standard streams, so that no other file gets their descriptors."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(number, mode))


def _exit_at_once(code: int) -> None:
    """Exit without waiting for threads, as Python would: one may be waiting for a mirror.

    It also takes several milliseconds less. Standard output has been flushed.
    """
    if sys.stderr is not None:
        if code == INTERRUPTED and sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h")  # a progress display hides the cursor
        sys.stderr.flush()
    os._exit(code)


def main(argv: Sequence[str]) -> int:
    """Run the command in ``argv`` (without the name of the program); return the exit code."""
    try:
        code = _dispatch(list(argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        code = INTERRUPTED
    except BrokenPipeError:
        code = 1  # the reader of the output is gone
    except Exception as problem:  # noqa: BLE001 - the one place that reports every failure
        code = _report_failure(problem)
    _flush_output()
    return code


def _flush_output() -> None:
    """Flush standard output; if that fails, prevent a second failure when Python exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(argv: list[str]) -> int:
    first = argv[0] if argv else ""
    if first in {"", "-h", "--help"} or argv in (["help"], ["help", "help"]):
        from pumice.cli import overview

        overview.print_overview()
        return 0
    if first in {"-V", "-v", "--version"}:
        from pumice.version import __version__

        sys.stdout.write(f"pumice {__version__}\n")
        return 0
    if first == "__complete":  # for the shells; no command, because nobody types it
        from pumice.cli.shell_completion import complete

        return complete.main(argv[1:])
    if first == "help":
        from pumice.cli.commands import ALIASES

        first, argv = argv[1], ["help", *argv[2:], "--help"]
        if first in ALIASES:
            sys.stdout.write(f"'{first}' is another name of '{ALIASES[first]}'.\n\n")
    if first in _QUICK and (exit_code := _run_quickly(first, argv[1:])) is not None:
        return exit_code
    try:
        command = _import_command(first, argv[1:])
        from pumice.cli.display.streams import escape_output

        with escape_output():
            return command(argv[1:])
    except SystemExit as stop:  # argparse ends so after --help
        return stop.code if isinstance(stop.code, int) else 0


def _run_quickly(verb: str, words: Sequence[str]) -> int | None:
    """Run a program the short way; return None if that is impossible."""
    import gc

    from pumice.cli import code_cache

    gc.disable()  # it would write to memory that processes share after a fork, and so copy it
    modules: CodeCache | Recorder | None = code_cache.install()
    if modules is None and code_cache.is_writable():
        from pumice.cli.code_cache_writer import Recorder

        modules = Recorder()
    try:
        exit_code = _start_quickly(verb, words)
        if exit_code is not None:
            gc.freeze()  # else all that was made is looked through now, although this process ends
            if modules is not None:
                modules.save()
        return exit_code
    finally:
        if modules is not None:
            sys.meta_path.remove(modules)
        gc.enable()


def _start_quickly(verb: str, words: Sequence[str]) -> int | None:
    def warn(message: str) -> None:
        from pumice.cli.display import progress_modes

        progress_modes.make_progress("auto").warn(message)

    if verb == "exec":
        from pumice.runtime.quick.join import exec_in_pod

        return exec_in_pod(words)
    from pumice.runtime.quick.start import run_by_plan

    return run_by_plan(words, warn)


def _import_command(verb: str, rest: Sequence[str]) -> Verb:
    """Import the module of ``verb`` and return its ``main``; ``rest`` are the words that follow."""
    import importlib

    from pumice.cli.commands import ALIASES, COMMANDS

    verb = ALIASES.get(verb, verb)
    if verb not in COMMANDS:
        raise _unknown_command(verb, rest)
    command: Verb = importlib.import_module(COMMANDS[verb][0]).main
    return command


if TYPE_CHECKING:
    from collections.abc import Callable

    Verb = Callable[[Sequence[str]], int]


def _unknown_command(word: str, rest: Sequence[str]) -> Exception:
    from difflib import get_close_matches

    from pumice.cli.commands import ALIASES, COMMANDS
    from pumice.cli.parsing import foreign
    from pumice.errors import UsageError

    kind = "option" if word.startswith("-") else "command"
    close = get_close_matches(word, [*COMMANDS, *ALIASES, "help", "--help", "--version"], n=1)
    hint = f"did you mean '{close[0]}'?" if close else "list the commands with 'pumice --help'"
    verb = next((each for each in rest if each in COMMANDS or each in ALIASES), "")
    if kind == "option" and verb and not close:
        hint = f"options follow the command: pumice {verb} {word}"
    return UsageError(f"unknown {kind} '{word}'", hint=foreign.command_hint([word, *rest]) or hint)


def _report_failure(error: Exception) -> int:
    """Write the failure to standard error; return the exit code."""
    from pumice.cli.display import output
    from pumice.errors import PumiceError
    from pumice.terminal import printable, printable_line

    if os.environ.get("PUMICE_DEBUG") == "1":
        import traceback

        sys.stderr.write(printable("".join(traceback.format_exception(error))))
    if isinstance(error, PumiceError):
        sys.stderr.write(output.format_error(error, color=output.has_color(sys.stderr)))
        return error.exit_code
    if isinstance(error, OSError):
        # Expected errors are translated where they occur; the others are still no bugs of Pumice.
        location = f"{error.filename}: " if error.filename else ""
        text = f"{location}{(error.strerror or str(error)).lower()}"
        sys.stderr.write(f"error: {printable_line(text)}\n")
        return 1
    description = printable_line(" ".join(f"{type(error).__name__}: {error}".split()))
    sys.stderr.write(
        f"error: internal error ({description[:300]})\n"
        "  hint: this is a bug in Pumice; set PUMICE_DEBUG=1 to get a traceback, and report it\n"
    )
    return INTERNAL_ERROR
