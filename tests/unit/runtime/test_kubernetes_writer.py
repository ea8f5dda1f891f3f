"""Pods that are written as Kubernetes YAML."""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pumice.runtime.container import Mount
from pumice.runtime.isolation import capabilities
from pumice.runtime.isolation.model import MIN_CPUS, MIN_MEMORY, Isolation, Limits
from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.network.port_options import PortRequest
from pumice.runtime.pod_inputs.kubernetes_writer import write_pod
from pumice.runtime.pod_inputs.model import InputApp, PodInput
from pumice.runtime.pods.records import Dependency
from pumice.runtime.process import Overrides
from pumice.runtime.run_options import AppOptions, Volume, VolumeMount
from tests.unit.runtime.test_pod_files import COMPOSE, read

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
TEXTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=["Cc", "Cs"]), max_size=12
)
PATHS = st.from_regex(r"/[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True)
IDS = st.integers(0, 65535).map(str)


@st.composite
def apps(draw: st.DrawFn, name: str, after: str, volumes: list[str]) -> InputApp:
    variables = draw(st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), TEXTS, max_size=3))
    dropped = draw(st.sampled_from([(), ("ALL",), ("KILL",)]))
    chosen = capabilities.select((), dropped)
    command = draw(st.lists(TEXTS.filter(bool), max_size=3).map(tuple))
    return InputApp(
        "example.com/app:1",
        AppOptions(
            name=name,
            after=(Dependency(after, "succeeded"),) if after else (),
            process=Overrides(
                command=command or None,
                arguments=tuple(draw(st.lists(TEXTS, max_size=3))),
                user=draw(st.none() | IDS | st.tuples(IDS, IDS).map(":".join)),
                directory=draw(st.none() | PATHS),
                environment=tuple(f"{key}={value}" for key, value in variables.items()),
            ),
            isolation=Isolation(
                capabilities=chosen,
                limits=Limits(
                    cpus=draw(st.just(0) | st.integers(MIN_CPUS, 9999)),
                    memory=draw(st.just(0) | st.integers(MIN_MEMORY, 1 << 40)),
                ),
                no_new_privileges=draw(st.booleans()),
                user_namespace="auto",
            ),
            mounts=tuple(Mount(path, path) for path in draw(st.lists(PATHS, max_size=2, unique=True))),
            volumes=tuple(
                VolumeMount(volume=volume, target=f"/v/{volume}", read_only=draw(st.booleans()))
                for volume in volumes
            ),
            read_only=draw(st.booleans()),
        ),
    )


@st.composite
def pods(draw: st.DrawFn) -> PodInput:
    volumes = [
        Volume(name=f"v{number}", files=draw(st.dictionaries(NAMES, st.binary(max_size=9), max_size=2)))
        for number in range(draw(st.integers(0, 2)))
    ]
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    first = draw(st.integers(0, len(names) - 1))
    mounted = [volume.name for volume in volumes]
    listed = [
        draw(apps(name, names[min(number, first) - 1] if min(number, first) else "", mounted))
        for number, name in enumerate(names)
    ]
    name = draw(NAMES)
    return PodInput(
        name=name,
        apps=tuple(listed),
        labels=draw(st.dictionaries(NAMES, TEXTS, max_size=2)),
        hostname=draw(st.just(name) | NAMES),
        names=NameResolution(
            hosts=draw(st.sampled_from([(), (("10.0.0.1", "db"), ("10.0.0.1", "cache"))])),
            servers=draw(st.sampled_from([(), ("9.9.9.9",)])),
            options=draw(st.sampled_from([(), ("ndots:2", "rotate")])),
            copies_host=draw(st.booleans()),
        ),
        network=draw(st.sampled_from(["", "host"])),
        publish=tuple(
            PortRequest(
                container=port,
                candidates=(port,),
                protocol=draw(st.sampled_from(["tcp", "udp"])),
                name=draw(st.sampled_from(["", f"port-{port}"])),
            )
            for port in draw(st.lists(st.integers(1, 65535), max_size=2, unique=True))
        ),
        volumes=tuple(volumes),
        shares_pids=draw(st.booleans()),
    )


@settings(max_examples=40, phases=[Phase.explicit, Phase.generate])  # shrinking a whole pod takes minutes
@given(pods())
def test_a_pod_that_is_written_as_kubernetes_is_the_same_when_it_is_read(pod: PodInput) -> None:
    text, omitted = write_pod(pod)
    assert omitted == ()
    assert read(text) == pod


def test_names_of_ports_that_kubernetes_does_not_allow_are_omitted() -> None:
    names = ("http", "http", "Http", "80", "a--b", "-a", "port.of.the.pod", "a" * 16)
    ports = [
        PortRequest(container=number, candidates=(number,), name=name) for number, name in enumerate(names, 1)
    ]
    pod = PodInput(name="web", apps=(InputApp("web:1", AppOptions(name="web")),), publish=tuple(ports))
    text, omitted = write_pod(pod)
    assert [port.name for port in read(text).publish] == ["http", *[""] * 7]
    assert text.count("name: http\n") == 1
    assert omitted == tuple(
        f"the name {name} of the port {number}" for number, name in enumerate(names, 1) if number > 1
    )


def test_what_kubernetes_cannot_say_is_named() -> None:
    pod = read(COMPOSE.replace("    <<: {}\n", ""), {"TAG": "2"})
    _, omitted = write_pod(pod)
    assert omitted == (
        "that web waits for others",
        "variables that are copied from the environment",
        "the volume shop_data at /data",
        "the file system in memory at /tmp",
        "rlimits of web",
    )
