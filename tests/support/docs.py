"""Run the documentation: the commands of Markdown pages, in order, and compare their output.

A page is one bash session in an empty folder with its own store.

- In a ``console`` block, ``$ `` begins a command, ``> `` continues it, and other lines are its
  output: ``…`` matches anything in a line, a line ``...`` matches any lines. If a block shows no output,
  none is compared. It is compared with standard output, or with standard error if the command fails.
- An ``sh`` block is a script with one command per line, whose output is not compared.
- ``<!-- file: NAME -->`` before a block of another kind writes it to that file.
- ``<!-- own network -->`` anywhere runs what follows the last ``pumice build`` on a machine of its own.
- ``<!-- not run: REASON -->`` before a block skips it, ``<!-- exits: 3 -->`` expects that exit
  code, ``<!-- needs: skopeo -->`` anywhere skips the page if that program is missing, and
  ``<!-- examples -->`` gives the page a copy of ``examples/``.

The port 8080 is replaced by a free one, so that pages can run at the same time.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support import networks, ports

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 900

_BLOCK = re.compile(
    r"(?P<notes>(?:^<!-- [^\n]* -->\n+)*)^```(?P<kind>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_NOTE = re.compile(r"^<!-- (?P<name>[a-z ]+?)(?:: (?P<value>[^\n]*))? -->$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block and the notes directly before it."""

    kind: str
    text: str
    line: int
    notes: dict[str, str]


class Step(NamedTuple):
    """One command, its documented output and exit code."""

    command: str
    output: str
    exits: int
    line: int


def pages() -> list[Path]:
    """Return every page to run, the README first."""
    return [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("tutorial/*.md")),
        *sorted((ROOT / "docs").glob("how-to/*.md")),
    ]


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    fenced_blocks = []
    for match in _BLOCK.finditer(text):
        notes = {note["name"]: note["value"] or "" for note in _NOTE.finditer(match["notes"])}
        line = text.count("\n", 0, match.start("text"))
        fenced_blocks.append(Block(match["kind"], match["text"], line, notes))
    return fenced_blocks


def needs(text: str) -> list[str]:
    """Return the programs that a page needs apart from Pumice."""
    notes = {note["value"] or "" for note in _NOTE.finditer(text) if note["name"] == "needs"}
    return sorted(need for note in notes for need in note.split())


def steps(block: Block) -> list[Step]:
    """Return the commands of a block; empty if it is not run."""
    exits = int(block.notes.get("exits", "0"))
    if "not run" in block.notes or block.kind not in {"console", "sh"}:
        return []
    if block.kind == "sh":
        lines = block.text.replace("\\\n", "").splitlines()
        return [Step(line, "", exits, block.line + 1) for line in lines if line and not line.startswith("#")]
    block_steps: list[Step] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            block_steps.append(Step(line[2:], "", exits, number))
        elif line.startswith("> ") and block_steps and not block_steps[-1].output:
            block_steps[-1] = block_steps[-1]._replace(command=f"{block_steps[-1].command}\n{line[2:]}")
        else:
            block_steps[-1] = block_steps[-1]._replace(output=f"{block_steps[-1].output}{line}\n")
    return block_steps


def expected(output: str) -> re.Pattern[str]:
    """Return a pattern for the output that a page shows."""
    patterns = []
    for line in output.splitlines():
        if line == "...":
            patterns.append(r"(?:[^\n]*\n)*")
        else:
            patterns.append(
                r"[^\n]*".join(re.escape(part.rstrip() if part == line else part) for part in line.split("…"))
                + r"\s*\n"
            )
    return re.compile("".join(patterns))


def run(page: Path, folder: Path) -> list[str]:
    """Run a page in ``folder``; return how it differs from what the page shows."""
    with ports.reserve() as port:
        return _run(page, folder, str(port))


def _run(page: Path, folder: Path, port: str) -> list[str]:
    text = page.read_text().replace("8080", port)
    work, logs = folder / "work", folder / "logs"
    work.mkdir()
    logs.mkdir()
    if "<!-- examples -->" in text:
        shutil.copytree(
            ROOT / "examples", work / "examples", ignore=shutil.ignore_patterns("*.lock", "__pycache__")
        )
        for copy in (work / "examples").rglob("*.*"):
            copy.write_text(copy.read_text().replace("8080", port))
    has_own_network = "<!-- own network -->" in text
    script = ["set -m", "trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    todo: list[Step] = []
    for block in blocks(text):
        if name := block.notes.get("file"):
            target = logs / f"file-{block.line}"
            target.write_text(block.text)
            quoted_name = shlex.quote(name)
            script.append(
                f'mkdir -p "$(dirname {quoted_name})" && cp {shlex.quote(str(target))} {quoted_name}'
            )
        for step in steps(block):
            log = shlex.quote(str(logs / str(len(todo))))
            script.append(f"{{\n{step.command}\n}} > {log}.out 2> {log}.err < /dev/null")
            script.append(f"code=$?; echo $code > {log}.code; [ $code = {step.exits} ] || exit 1")
            todo.append(step)
            if has_own_network and step.command.startswith("pumice build"):
                # There is no mirror in the network that follows.
                _bash("\n".join(script), work, folder / "store")
                script = [*script[:2], f"cd {shlex.quote(str(work))}"]

    folders = (work, folder / "store")

    def find_problems() -> list[str]:
        paths = [logs / str(number) for number in range(len(todo))]
        problems = (_find_problem(step, path, page) for step, path in zip(todo, paths, strict=True))
        return [problem for problem in problems if problem]

    if has_own_network:
        return _run_in_own_network("\n".join(script), folders, find_problems)
    _bash("\n".join(script), *folders)
    return find_problems()


def _run_in_own_network(
    script: str, folders: tuple[Path, Path], find_problems: Callable[[], list[str]]
) -> list[str]:
    """Run a script on a machine of its own, and again if it had problems.

    On a busy machine, a program in the background once ended before the next one asked it.
    """
    problems: list[str] = []
    for _ in range(2):
        with networks.machine() as machine:
            _bash(script, *folders, machine.prefix)
        problems = find_problems()
        if not problems:
            break
    return problems


def _find_problem(step: Step, log: Path, page: Path) -> str:
    where = f"{page.relative_to(ROOT)}:{step.line}: {step.command}"
    code = log.with_suffix(".code")
    if not log.with_suffix(".out").exists():
        return f"{where}\nwas not reached"
    out, err = log.with_suffix(".out").read_text(), log.with_suffix(".err").read_text()
    if not code.exists() or int(code.read_text()) != step.exits:
        exit_code = code.read_text().strip() if code.exists() else "nothing"
        return f"{where}\nended with {exit_code} instead of {step.exits}\n{out}{err}"
    output = out if step.exits == 0 else err
    if step.output and not expected(step.output).fullmatch(output):
        return f"{where}\nprinted\n{output}instead of\n{step.output}"
    return ""


def _bash(script: str, work: Path, store: Path, prefix: tuple[str, ...] = ()) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PUMICE_HOME": str(store),
        "COLUMNS": "100",
        "HOME": str(work.parent),
        **({"PUMICE_NETWORK": ""} if prefix else {}),
    }
    shell = subprocess.Popen(
        [*prefix, "bash"], stdin=subprocess.PIPE, cwd=work, env=environment, start_new_session=True
    )
    try:
        shell.communicate(script.encode(), timeout=PATIENCE_SECONDS)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
