"""The unit with which systemd runs a pod (systemd.service(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import PodError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.runtime.pods.records import Pod

_STOP_SECONDS = 10
_WITHOUT_VALUE = frozenset(("-d", "--detach", "--rm"))
_FLAG_LETTERS = frozenset("dit")
_WITH_VALUE = frozenset(("--name", "--cidfile"))
_ESCAPES = {"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$", "\n": "\\n", "\t": "\\t"}


def make_unit(
    pod: Pod, *, program: Sequence[str], environment: Mapping[str, str], restart: str = "on-failure"
) -> str:
    """Return a unit that runs a pod in the foreground, and is ready as soon as its program was executed.

    Raises PodError if the command contains a character that a unit cannot have.
    """
    options = select_options(pod.run_options)
    words = [*program, pod.run_verb, "--rm", "--name", pod.name, *options, *pod.run_arguments]
    settings = [
        *(
            f"Environment={_quote(f'{name}={value}').replace('$$', '$')}"
            for name, value in environment.items()
            if value
        ),
        f"ExecStart={' '.join(map(_quote, words))}",
    ]
    lines = [
        "[Unit]",
        f"Description=Pumice pod {pod.name}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        # The command becomes the supervisor of the pod, which reports that the program was executed.
        "Type=notify",
        "NotifyAccess=main",
        *settings,
        f"WorkingDirectory={pod.run_directory.replace('%', '%%')}",
        f"Restart={restart}",
        f"KillSignal={_signal_name(pod.stop_signal)}",
        # Only the supervisor gets the signal; it passes it on, and nothing outlives it.
        "KillMode=mixed",
        f"TimeoutStopSec={_STOP_SECONDS}",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "".join(f"{line}\n" for line in lines)


def select_options(options: Sequence[str]) -> list[str]:
    """Return the options of ``pumice run`` without those that name the pod or run it in the background."""
    kept: list[str] = []
    remaining = list(reversed(options))
    while remaining:
        word = remaining.pop()
        name = word.partition("=")[0]
        if word in _WITHOUT_VALUE:
            continue
        if word[:1] == "-" and word[1:] and _FLAG_LETTERS.issuperset(word[1:]):
            word = word.replace("d", "")
        if name in _WITH_VALUE:
            if word == name and remaining:
                remaining.pop()
            continue
        kept.append(word)
    return kept


def _signal_name(name: str) -> str:
    name = name.upper()
    return name if name.isdigit() or name.startswith("SIG") else f"SIG{name}"


def _quote(word: str) -> str:
    """Return a word as systemd reads it back (systemd.syntax(7), "Quoting")."""
    if any(ord(character) < 0x20 and character not in _ESCAPES for character in word):
        raise PodError(f"{word[:100]!r} has a control character, which a unit cannot contain")
    escaped = "".join(_ESCAPES.get(character, character) for character in word)
    is_plain = bool(word) and all(character.isalnum() or character in "_-./:=@+,%$" for character in word)
    return escaped if is_plain else f'"{escaped}"'
