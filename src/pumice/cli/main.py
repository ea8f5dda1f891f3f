"""The program ``pumice``: run one command, and turn failures into messages and exit codes.

``pumice --help`` must take little longer than starting Python, so this module imports no argparse, re,
typing or json, and only the module of the command that runs. A command is a module ``pumice.cli.<verb>``
with a function ``main(arguments) -> int``; the table below is all that the help and completion need.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("pumice.cli.init", "Create a commented starter recipe", "Recipes"),
    "show": (
        "pumice.cli.show",
        "Print a recipe in full, and where each value comes from",
        "Recipes",
    ),
    "schema": ("pumice.cli.schema", "Print the JSON Schema of recipes", "Recipes"),
    "lock": ("pumice.cli.lock", "Resolve a recipe and write its lock file", "Recipes"),
    "slice": ("pumice.cli.slice", "List, show and check the slices of packages", "Recipes"),
    "explain": ("pumice.cli.explain", "Show why a package is in an image", "Recipes"),
    "build": ("pumice.cli.build", "Build an image from a recipe", "Images"),
    "slim": ("pumice.cli.slim", "Show what an image does not need, and write a smaller recipe", "Images"),
    "cut": ("pumice.cli.cut", "Cut slices of packages into a directory", "Images"),
    "run": ("pumice.cli.run", "Run an image without root or a daemon", "Images"),
    "images": ("pumice.cli.images", "List the images in the local store", "Images"),
    "inspect": (
        "pumice.cli.inspect",
        "Show the config, layers and packages of an image, or a pod",
        "Images",
    ),
    "files": ("pumice.cli.files", "List the files in an image with their packages and sizes", "Images"),
    "check": ("pumice.cli.check", "Check whether the programs of an image can start", "Images"),
    "test": ("pumice.cli.test", "Run the tests of an image", "Images"),
    "tree": ("pumice.cli.tree", "Show the layers of an image and its attached artifacts", "Images"),
    "diff": ("pumice.cli.diff", "Show how two images differ", "Images"),
    "play": ("pumice.cli.play", "Run the pod that a file describes", "Pods"),
    "prepare": ("pumice.cli.prepare", "Verify and unpack an image for a pod that is started later", "Pods"),
    "run-prepared": ("pumice.cli.run_prepared", "Start a pod that was prepared", "Pods"),
    "ps": ("pumice.cli.ps", "List pods", "Pods"),
    "status": ("pumice.cli.status", "Show the state of pods", "Pods"),
    "logs": ("pumice.cli.logs", "Print what the program of a pod wrote", "Pods"),
    "exec": ("pumice.cli.exec", "Run another program in a running pod", "Pods"),
    "attach": ("pumice.cli.attach", "Connect your terminal to the program of a running pod", "Pods"),
    "events": ("pumice.cli.events", "Print what happens to pods", "Pods"),
    "rename": ("pumice.cli.rename", "Give a pod another name", "Pods"),
    "stop": ("pumice.cli.stop", "Stop running pods", "Pods"),
    "kill": ("pumice.cli.kill", "Send a signal to the programs of pods", "Pods"),
    "pause": ("pumice.cli.pause", "Freeze the programs of running pods", "Pods"),
    "unpause": ("pumice.cli.unpause", "Resume the programs of paused pods", "Pods"),
    "wait": ("pumice.cli.wait", "Wait until pods have ended, and print their exit codes", "Pods"),
    "stats": ("pumice.cli.stats", "Show what running pods use of the machine", "Pods"),
    "port": ("pumice.cli.port", "List the published ports of a running pod", "Pods"),
    "cp": ("pumice.cli.cp", "Copy files into and out of a running pod", "Pods"),
    "commit": ("pumice.cli.commit", "Make an image of a running pod", "Pods"),
    "top": ("pumice.cli.top", "List the processes of a running pod", "Pods"),
    "generate": ("pumice.cli.generate", "Write the files with which other programs run a pod", "Pods"),
    "volume": ("pumice.cli.volume", "Create, list and remove volumes", "Pods"),
    "identity": ("pumice.cli.identity", "Issue and verify the tokens of pods, and manage their keys", "Pods"),
    "sbom": ("pumice.cli.sbom", "Print the software bill of materials of an image", "Evidence"),
    "licenses": ("pumice.cli.licenses", "List the licenses of the packages in an image", "Evidence"),
    "reproduce": ("pumice.cli.reproduce", "Rebuild an image from its provenance and compare", "Evidence"),
    "key": ("pumice.cli.key", "Create, list, import and export signing keys", "Trust"),
    "sign": ("pumice.cli.sign", "Sign an image", "Trust"),
    "attest": ("pumice.cli.attest", "Attach a signed statement to an image", "Trust"),
    "verify": ("pumice.cli.verify", "Verify the signatures of an image", "Trust"),
    "trust": ("pumice.cli.trust", "Manage trusted keys and signature policies", "Trust"),
    "pull": ("pumice.cli.pull", "Pull an image from a registry into the local store", "Registries"),
    "push": ("pumice.cli.push", "Push an image with its signatures and evidence to a registry", "Registries"),
    "copy": (
        "pumice.cli.copy",
        "Copy an image between registries, files and the store",
        "Registries",
    ),
    "publish": ("pumice.cli.publish", "Publish images as files for a web server", "Registries"),
    "seed": ("pumice.cli.seed", "Share published images with BitTorrent", "Registries"),
    "tags": ("pumice.cli.tags", "List the tags of a repository", "Registries"),
    "resolve": ("pumice.cli.resolve", "Print the digest of a reference", "Registries"),
    "delete": ("pumice.cli.delete", "Delete an image from a registry", "Registries"),
    "login": ("pumice.cli.login", "Log in to a registry", "Registries"),
    "logout": ("pumice.cli.logout", "Log out of a registry", "Registries"),
    "discover": ("pumice.cli.discover", "Show where the images and keys of a name are", "Discovery"),
    "fetch": ("pumice.cli.fetch", "Fetch an image by its name into the local store", "Discovery"),
    "convert": ("pumice.cli.convert", "Convert an image between OCI and App Container", "App Container"),
    "aci": ("pumice.cli.aci", "Validate, build and unpack App Container images", "App Container"),
    "tag": ("pumice.cli.tag", "Add names to an image in the store or in a registry", "Store"),
    "untag": ("pumice.cli.untag", "Remove names of an image in the store", "Store"),
    "load": ("pumice.cli.load", "Load images from an archive into the store", "Store"),
    "save": ("pumice.cli.save", "Save images in one archive", "Store"),
    "rm": ("pumice.cli.rm", "Remove images from the local store", "Store"),
    "gc": ("pumice.cli.gc", "Free space: delete data that no image needs", "Store"),
    "store": ("pumice.cli.store", "Verify or locate the local store", "Store"),
    "serve": ("pumice.cli.serve", "Run an OCI registry", "Registry"),
    "completion": ("pumice.cli.completion", "Print a completion script for bash, zsh or fish", "Shell"),
    "metadata-service": ("pumice.cli.metadata_service", "Run the metadata service of pods", "More"),
    "blob": ("pumice.cli.blob", "Print a blob by its digest", "More"),
    "catalog": ("pumice.cli.catalog", "List the repositories of a registry", "More"),
    "config": ("pumice.cli.config", "Print the config of an image", "More"),
    "export": ("pumice.cli.export", "Write the root file system of an image as a tar file", "More"),
    "history": ("pumice.cli.history", "List how the layers of an image were made", "More"),
    "manifest": ("pumice.cli.manifest", "Print the manifest of an image", "More"),
    "version": ("pumice.cli.version", "Print versions, the platform and the directory of the store", "More"),
}
"""Each command with its module, its line of help, and the group that it is listed under."""

ALIASES: dict[str, str] = {
    "digest": "resolve",
    "list-tags": "tags",
    "ls": "images",
    "prune": "gc",
    "rmi": "rm",
}
"""Names that docker, podman, crane and skopeo have for commands."""

_BRIEF_GROUP = "More"
"""The group whose commands the overview lists without their lines of help."""

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
        _print_overview()
        return 0
    if first in {"-V", "-v", "--version"}:
        from pumice.version import __version__

        sys.stdout.write(f"pumice {__version__}\n")
        return 0
    if first == "__complete":  # for the shells; no command, because nobody types it
        from pumice.cli import complete

        return complete.main(argv[1:])
    if first == "help":
        first, argv = argv[1], ["help", *argv[2:], "--help"]
        if first in ALIASES:
            sys.stdout.write(f"'{first}' is another name of '{ALIASES[first]}'.\n\n")
    if first in _QUICK and (exit_code := _run_quickly(first, argv[1:])) is not None:
        return exit_code
    try:
        command = _import_command(first, argv[1:])
        from pumice.cli.streams import escape_output

        with escape_output():
            return command(argv[1:])
    except SystemExit as stop:  # argparse ends so after --help
        return stop.code if isinstance(stop.code, int) else 0


def _run_quickly(verb: str, words: Sequence[str]) -> int | None:
    """Run a program the short way; return None if that is impossible."""
    import gc

    from pumice.cli import code_cache

    gc.disable()  # it would write to memory that processes share after a fork, and so copy it
    modules = code_cache.install() or code_cache.record()
    try:
        exit_code = _start_quickly(verb, words)
        if exit_code is not None and modules is not None:
            modules.save()
        return exit_code
    finally:
        if modules is not None:
            sys.meta_path.remove(modules)
        gc.enable()


def _start_quickly(verb: str, words: Sequence[str]) -> int | None:
    def warn(message: str) -> None:
        from pumice.cli import output

        output.make_progress("auto").warn(message)

    if verb == "exec":
        from pumice.runtime.quick.join import exec_in_pod

        return exec_in_pod(words)
    from pumice.runtime.quick.start import run_by_plan

    return run_by_plan(words, warn)


def _import_command(verb: str, rest: Sequence[str]) -> Verb:
    """Import the module of ``verb`` and return its ``main``; ``rest`` are the words that follow."""
    verb = ALIASES.get(verb, verb)
    if verb not in COMMANDS:
        raise _unknown_command(verb, rest)
    import importlib

    command: Verb = importlib.import_module(COMMANDS[verb][0]).main
    return command


if TYPE_CHECKING:
    from collections.abc import Callable

    Verb = Callable[[Sequence[str]], int]


def _unknown_command(word: str, rest: Sequence[str]) -> Exception:
    from difflib import get_close_matches

    from pumice.cli import foreign
    from pumice.errors import UsageError

    kind = "option" if word.startswith("-") else "command"
    close = get_close_matches(word, [*COMMANDS, *ALIASES, "help", "--help", "--version"], n=1)
    hint = f"did you mean '{close[0]}'?" if close else "list the commands with 'pumice --help'"
    verb = next((each for each in rest if each in COMMANDS or each in ALIASES), "")
    if kind == "option" and verb and not close:
        hint = f"options follow the command: pumice {verb} {word}"
    return UsageError(f"unknown {kind} '{word}'", hint=foreign.command_hint([word, *rest]) or hint)


def _print_overview() -> None:
    text = format_overview()
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        from pumice.cli import help_color, streams

        if streams.has_color(sys.stdout):
            headings = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
            text = help_color.color_help(text, headings, COMMANDS)
    sys.stdout.write(text)


def format_overview() -> str:
    """Return the text of ``pumice --help``."""
    lines = [
        "Build, sign, ship and run small OCI images made from Debian packages.",
        "",
        "usage: pumice COMMAND [ARGUMENT...]",
    ]
    width = max(len(verb) for verb, command in COMMANDS.items() if command[2] != _BRIEF_GROUP) + 2
    group = ""
    for verb, (_, summary, command_group) in COMMANDS.items():
        if command_group == _BRIEF_GROUP:
            continue
        if command_group != group:
            lines += ["", f"{command_group}:"]
            group = command_group
        lines.append(f"  {verb:<{width}}{summary}")
    brief_verbs = [verb for verb, command in COMMANDS.items() if command[2] == _BRIEF_GROUP]
    lines += ["", "More commands:", f"  {', '.join(brief_verbs)}"]
    aliases = [f"{alias} = {verb}" for alias, verb in ALIASES.items()]
    lines += [
        "",
        "Other names:",
        *(f"  {', '.join(aliases[at : at + 4])}" for at in range(0, len(aliases), 4)),
    ]
    lines += [
        "",
        "Run 'pumice help COMMAND' for more about a command, or 'pumice --version'.",
        "To get started, run 'pumice init', then 'pumice build recipe.yaml'.",
        "",
    ]
    return "\n".join(lines)


def _report_failure(error: Exception) -> int:
    """Write the failure to standard error; return the exit code."""
    from pumice.cli import output
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
