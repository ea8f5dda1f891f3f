"""Run plans as bytes and as files."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.runtime.launch.model import BUNDLE, SANDBOX, GroupPlan, Launch
from pumice.runtime.quick import plans
from pumice.runtime.quick.plans import Plan, decode_plan, encode_plan

if TYPE_CHECKING:
    from pathlib import Path

NOW = int(time.time())
KEY = bytes(32)


def make_plan(*, kind: str = SANDBOX, validity: tuple[int, int] = (NOW, NOW + 10**6)) -> Plan:
    groups = [GroupPlan(1, "/a", "/", ("pids", "cpu"), [("pids.max", "5"), ("cpu.max", "")])]
    launch = Launch(
        *(kind, ("--root", "/x", ""), ("sh", "\udcff")),
        filter=b"\0\1",
        settings=b'{"args":["sh"]}',
        groups=groups,
        needs_groups=True,
    )
    witnesses = [("stamp", "/nonexistent", "")]
    return Plan(
        KEY, launch, "/tree", witnesses, validity, 13 if kind == BUNDLE else 0, ("/networks/1", "host")
    )


def describe(plan: Plan) -> list[object]:
    launch = plan.launch
    groups = [(g.version, g.parent, g.top, g.controllers, g.settings) for g in launch.groups]
    return [
        *(plan.key, plan.tree, plan.witnesses, plan.valid_from, plan.valid_until, plan.arguments_end),
        plan.network,
        *(launch.kind, launch.options, launch.program, launch.filter, launch.settings, launch.needs_groups),
        *groups,
    ]


def test_a_plan_survives_encoding() -> None:
    plan = make_plan(kind=BUNDLE)
    assert describe(decode_plan(encode_plan(plan))) == describe(plan)


@given(st.binary(max_size=200) | st.integers(-300, -1).map(lambda size: encode_plan(make_plan())[:size]))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        decode_plan(data)


def test_a_plan_is_valid_for_a_time() -> None:
    assert make_plan().is_valid()
    assert not make_plan(validity=(NOW + 10**6, NOW + 10**7)).is_valid()  # the clock was set back
    assert not make_plan(validity=(NOW - 10**7, NOW - 10**6)).is_valid()


def test_further_arguments_follow_the_program() -> None:
    plan = make_plan()
    assert plan.add_arguments(["a", 'b"'])
    assert plan.launch.program == ("sh", "\udcff", "a", 'b"')
    assert plan.launch.settings == b'{"args":["sh"]}'


def test_further_arguments_are_inserted_into_a_bundle() -> None:
    plan = make_plan(kind=BUNDLE)
    assert plan.add_arguments(["ä", 'b"'])
    assert plan.launch.settings.decode() == '{"args":["sh","ä","b\\""]}'
    assert not plan.add_arguments(["\udcff"])  # JSON cannot have it


def test_a_launch_uses_another_directory_of_its_network() -> None:
    plan = make_plan(kind=BUNDLE)
    plan.launch.options = ("--bind", "/networks/1/hosts", "/etc/hosts", "--env", "A=/networks/1/hosts")
    plan.launch.settings = b'{"args":["sh"],"source":"/networks/1/hosts","other":"/networks/10"}'
    assert not plan.move_network("/networks/1", "/networks/22")
    assert plan.move_network("/networks/1", "/networks/2")
    assert plan.launch.options[1:] == ("/networks/2/hosts", "/etc/hosts", "--env", "A=/networks/1/hosts")
    assert plan.launch.settings == b'{"args":["sh"],"source":"/networks/2/hosts","other":"/networks/10"}'


def write(store: Path, data: bytes, mode: int = 0o600) -> Path:
    path = store / "plans" / "00"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_only_plans_of_this_user_are_read(tmp_path: Path) -> None:
    store = str(tmp_path)
    assert plans.load_plan(store, KEY) is None
    path = write(tmp_path, encode_plan(make_plan()))
    assert plans.load_plan(store, KEY) is not None
    assert plans.load_plan(store, KEY[:1] + b"\1" * 31) is None  # another command in the same file
    write(tmp_path, encode_plan(make_plan()), 0o666)
    assert plans.load_plan(store, KEY) is None
    write(tmp_path, encode_plan(make_plan())[:-1])
    assert plans.load_plan(store, KEY) is None
    write(tmp_path, encode_plan(make_plan()))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert plans.load_plan(store, KEY) is None
    if os.geteuid() == 0:
        path.unlink()
        os.chown(write(tmp_path, encode_plan(make_plan())), 1000, 1000)
        assert plans.load_plan(store, KEY) is None
