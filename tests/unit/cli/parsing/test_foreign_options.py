"""Options known from docker work, or the error gives the alternative; no suggestion misleads."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.cli import build, run
from pumice.errors import UsageError
from pumice.runtime.pod_inputs.environment_files import read_environment_file


@pytest.mark.parametrize(
    ("words", "option", "hint"),
    [
        (["--privileged", "x"], "--privileged", "name what the program needs with --cap-add"),
        (["--restart", "always", "x"], "--restart", "your service manager"),
        (["--gpus"], "--gpus", "name the devices with --device"),
        (["--quux", "x"], "--quux", "see 'pumice run --help'"),
        (["--wrokdir", "x"], "--wrokdir", "did you mean '--workdir'?"),
    ],
)
def test_run_says_what_to_do_instead(words: list[str], option: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        run.parser().parse_args(words)
    assert caught.value.message == f"'pumice run' has no option '{option}'"
    assert hint in (caught.value.hint or "")
    assert "--as" not in (caught.value.hint or "")


@pytest.mark.parametrize(("words", "hint"), [(["--no-cache"], "nothing is stale"), (["-f", "x"], "RECIPE")])
def test_build_says_what_to_do_instead(words: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        build.parser().parse_args([*words, "recipe.yaml"])
    assert hint in (caught.value.hint or "")


def test_options_that_ask_for_what_happens_anyway_are_accepted() -> None:
    parser = run.parser()
    words = ["-it", "-i", "-t", "--interactive", "--tty", "example.com/x:1", "-p"]
    options = parser.parse_args(words)
    assert (options.reference, options.arguments) == ("example.com/x:1", ["-p"])


def test_the_short_forms_of_docker(tmp_path: Path) -> None:
    options = run.parser().parse_args(
        ["-e", "A=1", "-u", "65532", "-w", "/srv", "-v", f"{tmp_path}:/data:ro,Z", "--net", "none", "x"]
    )
    assert (options.env, options.user, options.workdir, options.network) == (["A=1"], "65532", "/srv", "none")
    (mount,) = options.volume
    assert (mount.target, mount.read_only) == ("/data", True)


def test_a_file_of_variables_is_read_as_docker_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b'# comment\n\n  A=1\r\nB="quoted" = x\nHOME\nC=\n')
    assert read_environment_file(str(path)) == ["A=1", 'B="quoted" = x', "HOME", "C="]
    for content, sentence in (
        (b"A=1\nB C=2\n", "invalid variable 'B C=2'"),
        (b"=x\n", "invalid variable '=x'"),
        (b"A\0B", "not text"),
        (b"x" * (1 << 20) + b"y", "larger than 1 MiB"),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=sentence):
            read_environment_file(str(path))
    with pytest.raises(UsageError, match="cannot read the environment file: no such file"):
        read_environment_file(str(tmp_path / "absent"))
