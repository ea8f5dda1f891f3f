"""Many pods with networks are started, listed, stopped and collected, and leave nothing behind."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, many_pods, networks, people, sampling

if TYPE_CHECKING:
    from tests.support.networks import Machine

pytestmark = [pytest.mark.sampled, pytest.mark.peer("nsenter")]
COUNT = 100 if sampling.is_soak() else 4


@pytest.mark.parametrize("name", ["root", "ordinary"])
def test_many_pods_leave_nothing(name: str, machine: Machine) -> None:
    networks.need_private_networks(name)
    with people.person(name) as someone:
        with Home(someone.home / "store") as home:
            images.make(home, [images.shell()], name="box:1", config=oci.RunConfig())
        someone.give(someone.home)
        person = machine.host(someone)

        def pumice(*arguments: str) -> str:
            process = subprocess.run(
                person.command(*arguments),
                env=person.environment(),
                cwd=person.home,
                text=True,
                capture_output=True,
                check=False,
            )
            assert process.returncode == 0, process.stderr
            return process.stdout

        result = many_pods.run(pumice, machine, someone.home / "store", "box:1", COUNT)
    assert result.listed == COUNT
    assert result.left == set()
