"""Values of the App Container specification as command lines have them."""

from __future__ import annotations

import pytest

from pumice.appc.app import MountPoint, Port
from pumice.appc.app_strings import (
    ImageReference,
    parse_image_reference,
    parse_mount_point,
    parse_port,
    parse_volume,
)
from pumice.appc.labels import Label
from pumice.appc.volumes import Volume
from pumice.errors import FormatError


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("example.com/a", ImageReference("example.com/a")),
        ("example.com/a:1.0", ImageReference("example.com/a", (Label("version", "1.0"),))),
        (
            "example.com/a:1.0,channel=alpha,os=linux",
            ImageReference(
                "example.com/a", (Label("version", "1.0"), Label("channel", "alpha"), Label("os", "linux"))
            ),
        ),
        ("a,version=1%2C2", ImageReference("a", (Label("version", "1,2"),))),
        ("a,x=a=b", ImageReference("a", (Label("x", "a=b"),))),
        ("a,channel=a:b", ImageReference("a", (Label("channel", "a:b"),))),
    ],
)
def test_image_references_have_a_name_and_labels(text: str, reference: ImageReference) -> None:
    assert parse_image_reference(text) == reference


@pytest.mark.parametrize(
    "text",
    ["", ":1", "a:", "a:1:2", "A", "a,", "a,x", "a,x=1,x=2", "a:1,version=2", "a,name=b", "a,=b", "a" * 9000],
)
def test_invalid_image_references_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_image_reference(text)


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("a,kind=empty", Volume(name="a", kind="empty")),
        (
            "a,kind=empty,mode=0700,uid=1,gid=2,readOnly=true",
            Volume(name="a", kind="empty", mode="0700", uid=1, gid=2, read_only=True),
        ),
        (
            "a,kind=host,source=/x,readOnly=true,recursive=false",
            Volume(name="a", kind="host", source="/x", read_only=True, recursive=False),
        ),
    ],
)
def test_volumes_are_parsed(text: str, volume: Volume) -> None:
    assert parse_volume(text) == volume


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a,kind=host",
        "a,kind=host,source=x",
        "a,kind=empty,source=/x",
        "a,kind=host,source=/x,mode=0700",
        "a,kind=empty,uid=-1",
        "a,kind=empty,mode=888",
        "a,kind=empty,readOnly=yes",
        "a,kind=empty,other=1",
        "a,kind=empty,kind=host",
        "A,kind=empty",
        "a,name=b,kind=empty",
    ],
)
def test_invalid_volumes_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_volume(text)


def test_mount_points_and_ports_are_parsed() -> None:
    assert parse_mount_point("work,path=/w,readOnly=true") == MountPoint("work", "/w", read_only=True)
    assert parse_port("http,protocol=tcp,port=80") == Port("http", "tcp", 80)
    assert parse_port("a,protocol=udp,port=1,count=9,socketActivated=true") == Port(
        "a", "udp", 1, 9, socket_activated=True
    )


@pytest.mark.parametrize("text", ["", "a", "a,path=x", "a,path=/x,path=/y", "a,path=/x,other=1", "A,path=/x"])
def test_invalid_mount_points_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_mount_point(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a,port=80",
        "a,protocol=tcp",
        "a,protocol=tcp,port=0",
        "a,protocol=tcp,port=x",
        "a,protocol=tcp,port=80,count=0",
        "a,protocol=sctp,port=80",
        "a,protocol=tcp,port=80,x=1",
    ],
)
def test_invalid_ports_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_port(text)
