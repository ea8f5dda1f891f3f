from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumice.errors import ImageError, PumiceError, UsageError
from pumice.formats.oci import RunConfig
from pumice.runtime import process
from pumice.runtime.process import Identity, Overrides

PASSWD = """root:x:0:0:root:/root:/bin/sh
broken line
web:x:33:34:Web:/srv:/usr/sbin/nologin
bad:x:no:0::/:/bin/sh
huge:x:99999999999:0::/:/bin/sh
"""
GROUP = "root:x:0:\nwww:x:34:\naudio:x:29:nobody,web\nstaff:x:50:web\nbad:x:x:web\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return tmp_path


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", Identity(0, 0, (), "/root")),
        ("root", Identity(0, 0, (), "/root")),
        ("web", Identity(33, 34, (29, 50), "/srv")),
        ("33", Identity(33, 34, (29, 50), "/srv")),
        ("web:audio", Identity(33, 29, (), "/srv")),
        ("web:7", Identity(33, 7, (), "/srv")),
        ("1234", Identity(1234, 0, (), "/")),
        ("1234:5678", Identity(1234, 5678, (), "/")),
        ("0:50", Identity(0, 50, (), "/root")),
        (":50", Identity(0, 50, (), "/root")),
        ("web:", Identity(33, 34, (29, 50), "/srv")),
    ],
)
def test_users_are_looked_up_in_the_image(root: Path, user: str, expected: Identity) -> None:
    assert process.find_identity(user, root) == expected


@pytest.mark.parametrize(
    "user", ["nobody", "bad", "huge", "web:nogroup", "99999999999", "-1", "web:bad", "٣"]
)
def test_a_user_that_the_image_lacks_is_an_error(root: Path, user: str) -> None:
    with pytest.raises(ImageError, match="the image has no"):
        process.find_identity(user, root)


def test_an_image_without_users_knows_numbers_only(tmp_path: Path) -> None:
    assert process.find_identity("65532", tmp_path) == Identity(65532, 0)
    with pytest.raises(ImageError):
        process.find_identity("root", tmp_path)


def test_the_users_of_this_machine_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd")
    with pytest.raises(ImageError):
        process.find_identity("root", tmp_path)
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "etc/passwd").symlink_to("../../../../../../../../etc/passwd")
    with pytest.raises(ImageError):
        process.find_identity("root", tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(passwd=st.binary(max_size=300), group=st.binary(max_size=300), user=st.text(max_size=20))
def test_any_database_gives_a_user_or_an_error(
    tmp_path: Path, passwd: bytes, group: bytes, user: str
) -> None:
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "etc/passwd").write_bytes(passwd)
    (tmp_path / "etc/group").write_bytes(group)
    try:
        who = process.find_identity(user, tmp_path)
    except PumiceError:
        return
    assert 0 <= who.uid < (1 << 32) - 1
    assert 0 <= who.gid < (1 << 32) - 1


def arguments(config: RunConfig, **wishes: Any) -> tuple[str, ...]:
    return process.plan_process(config, Path("/nonexistent"), Overrides(**wishes), {}).arguments


def test_entry_point_and_arguments_follow_the_image_specification() -> None:
    both = RunConfig(entrypoint=("e", "1"), cmd=("c", "2"))
    assert arguments(both) == ("e", "1", "c", "2")
    assert arguments(both, arguments=("x",)) == ("e", "1", "x")
    assert arguments(both, entrypoint="n") == ("n",)
    assert arguments(both, entrypoint="n", arguments=("x",)) == ("n", "x")
    assert arguments(both, entrypoint="", arguments=("x",)) == ("x",)
    assert arguments(RunConfig(cmd=("c",))) == ("c",)
    assert arguments(RunConfig(cmd=("c",)), arguments=("x", "y")) == ("x", "y")


@pytest.mark.parametrize("config", [RunConfig(), RunConfig(cmd=("",))])
def test_an_image_that_says_nothing_to_run_is_an_error(config: RunConfig) -> None:
    with pytest.raises(ImageError, match="has no entrypoint and no command"):
        arguments(config)


def environment(image: tuple[str, ...], wishes: tuple[str, ...] = (), user: str = "7") -> dict[str, str]:
    config = RunConfig(cmd=("x",), env=image, user=user)
    overrides = Overrides(environment=wishes)
    return process.plan_process(
        config, Path("/nonexistent"), overrides, {"HERE": "value", "PATH": "/mine"}
    ).environment


def test_the_environment_starts_with_a_path_and_a_home() -> None:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert environment(()) == {"PATH": path, "HOME": "/"}
    assert environment(("PATH=/app", "HOME=/app", "=no", "none")) == {"PATH": "/app", "HOME": "/app"}


def test_variables_may_be_set_and_passed_on() -> None:
    found = environment(("A=image",), ("A=b=c", "HERE", "ABSENT", "EMPTY="))
    assert found["A"] == "b=c"
    assert found["HERE"] == "value"
    assert found["EMPTY"] == ""
    assert "ABSENT" not in found


TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\0\n\x7f/:=")), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=st.builds(
        RunConfig,
        user=TEXT,
        env=st.lists(TEXT, max_size=3).map(tuple),
        entrypoint=st.lists(TEXT, max_size=3).map(tuple),
        cmd=st.lists(TEXT, max_size=3).map(tuple),
        working_dir=TEXT.map(lambda text: f"/{text}"),
    ),
    home=TEXT,
)
def test_any_config_gives_clean_text_or_an_error(tmp_path: Path, config: RunConfig, home: str) -> None:
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "etc/passwd").write_bytes(f"root:x:0:0::{home}:\n".encode())
    try:
        planned = process.plan_process(config, tmp_path, Overrides(), {})
    except PumiceError:
        return
    names = [planned.directory, planned.arguments[0], planned.environment["HOME"], *planned.environment]
    texts = [*names, *planned.arguments, *planned.environment.values()]
    assert not any("\0" in text for text in texts)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for text in names for c in text)


def test_scripts_may_have_lines_and_colors() -> None:
    config = RunConfig(cmd=("sh", "-c", "a\n\tb"), env=("PS1=\x1b[1m$ ", "LIST=a\tb"))
    planned = process.plan_process(config, Path("/nonexistent"), Overrides(), {})
    assert planned.arguments[2] == "a\n\tb"
    assert planned.environment["PS1"] == "\x1b[1m$ "


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (RunConfig(user="a\nb"), "User"),
        (RunConfig(working_dir="/a\nb"), "WorkingDir"),
        (RunConfig(env=("A\nB=c",)), "Env"),
        (RunConfig(env=("A=\x07",)), "Env"),
        (RunConfig(cmd=("a\nb",)), "program"),
        (RunConfig(cmd=("a", "\x01")), "Cmd"),
        (RunConfig(stop_signal="\x9b"), "StopSignal"),
    ],
)
def test_control_characters_are_refused_with_the_field(config: RunConfig, field: str) -> None:
    with pytest.raises(ImageError, match=f"the image's {field} contains a control character"):
        process.plan_process(config, Path("/nonexistent"), Overrides(), {})


@pytest.mark.parametrize(
    "wishes",
    [{"arguments": ("a\0",)}, {"entrypoint": "a\0"}, {"user": "0\0"}, {"directory": "/\0"}],
)
def test_a_nul_in_a_wish_is_refused(wishes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="contains a NUL"):
        process.plan_process(RunConfig(cmd=("x",)), Path("/nonexistent"), Overrides(**wishes), {})


@pytest.mark.parametrize("wish", ["=x", "", "A=\0"])
def test_malformed_environment_variable_is_rejected(wish: str) -> None:
    with pytest.raises(UsageError, match="is not a variable"):
        environment((), (wish,))


@pytest.mark.parametrize(
    ("given_", "expected"), [("", "/"), ("/a/../../b", "/b"), ("//x//y/.", "/x/y"), ("/srv", "/srv")]
)
def test_the_directory_stays_inside(given_: str, expected: str) -> None:
    config = RunConfig(cmd=("x",), working_dir=given_)
    assert process.plan_process(config, Path("/nonexistent"), Overrides(), {}).directory == expected


def test_a_relative_directory_is_refused() -> None:
    with pytest.raises(UsageError, match="not an absolute path"):
        process.plan_process(RunConfig(cmd=("x",)), Path("/nonexistent"), Overrides(directory="srv"), {})
