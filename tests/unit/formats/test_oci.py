from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import oci

CONFIG = oci.ImageConfig(
    architecture="arm64",
    os="linux",
    variant="v8",
    created="2024-05-06T07:08:09Z",
    rootfs=oci.RootFs("layers", ("sha256:" + "1" * 64,)),
    config=oci.RunConfig(
        user="65532",
        env=("A=b",),
        entrypoint=("/bin/x",),
        exposed_ports={"80/tcp": oci.Empty()},
        volumes={"/data": oci.Empty()},
        healthcheck=oci.HealthCheck(test=("CMD", "/bin/ok"), interval=30_000_000_000),
    ),
    history=(oci.History(created_by="pumice", comment="base"),),
)
POINTER = oci.Descriptor(oci.CONFIG, "sha256:" + "2" * 64, 7)


def test_config_has_the_names_and_field_order_of_the_specification() -> None:
    assert oci.encode_document(CONFIG).decode() == (
        '{"architecture":"arm64","config":{"Entrypoint":["/bin/x"],"Env":["A=b"],'
        '"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Interval":30000000000,"Test":["CMD","/bin/ok"]},'
        '"User":"65532","Volumes":{"/data":{}}},"created":"2024-05-06T07:08:09Z",'
        '"history":[{"comment":"base","created_by":"pumice"}],"os":"linux",'
        '"rootfs":{"diff_ids":["sha256:' + "1" * 64 + '"],"type":"layers"},"variant":"v8"}'
    )


def test_a_manifest_always_has_its_required_fields() -> None:
    assert json.loads(oci.encode_document(oci.make_manifest(POINTER, ()))) == {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.CONFIG, "digest": POINTER.digest, "size": 7},
        "layers": [],
    }


def test_empty_index_has_an_empty_list() -> None:
    assert json.loads(oci.encode_document(oci.make_index(())))["manifests"] == []


def test_platforms_keep_dotted_field_names() -> None:
    platform = oci.Platform("amd64", os="windows", os_version="10.0", os_features=("win32k",))
    encoded = json.loads(
        oci.encode_document(oci.make_index((msgspec.structs.replace(POINTER, platform=platform),)))
    )
    assert encoded["manifests"][0]["platform"] == {
        "architecture": "amd64",
        "os": "windows",
        "os.version": "10.0",
        "os.features": ["win32k"],
    }


def test_operating_system_of_a_platform_is_always_encoded() -> None:
    encoded = json.loads(
        oci.encode_document(
            oci.make_index((msgspec.structs.replace(POINTER, platform=oci.Platform("s390x")),))
        )
    )
    assert encoded["manifests"][0]["platform"] == {"architecture": "s390x", "os": "linux"}


def test_documents_round_trip() -> None:
    manifest = oci.make_manifest(POINTER, (POINTER,), annotations={"a": "b"})
    index = oci.make_index((POINTER,))
    assert oci.read_config(oci.encode_document(CONFIG)) == CONFIG
    assert oci.read_manifest(oci.encode_document(manifest)) == manifest
    assert oci.read_index(oci.encode_document(index)) == index
    assert (
        oci.read_layout_header(oci.encode_document(oci.LayoutHeader("1.0.0"))).image_layout_version == "1.0.0"
    )


def test_nulls_and_unknown_fields_are_accepted() -> None:
    foreign = {
        "architecture": "amd64",
        "os": "linux",
        "docker_version": "20.10",
        "container_config": {"Hostname": ""},
        "config": {
            "Env": None,
            "Cmd": ["sh"],
            "ExposedPorts": {"80/tcp": None},
            "OnBuild": None,
            "Memory": 0,
        },
        "rootfs": {"type": "layers", "diff_ids": None} | {"diff_ids": []},
        "history": [{"created_by": "RUN x", "empty_layer": True}],
    }
    config = oci.read_config(json.dumps(foreign).encode())
    assert config.config.cmd == ("sh",)
    assert config.config.exposed_ports == {"80/tcp": oci.Empty()}
    assert config.history[0].empty_layer


def test_reads_manifests_without_layers() -> None:
    document = {
        "schemaVersion": 2,
        "config": {"mediaType": oci.EMPTY, "digest": "x", "size": 2},
        "layers": None,
    }
    assert oci.read_manifest(json.dumps(document).encode()).layers == ()


def _document(**fields: object) -> bytes:
    return json.dumps({"schemaVersion": 2} | fields).encode()


@pytest.mark.parametrize(
    ("data", "media_type", "sentence"),
    [
        (_document(layers=[], manifests=[]), "", "has the fields of both a manifest and an index"),
        (_document(config={}, manifests=[]), "", "has the fields of both a manifest and an index"),
        (_document(mediaType=oci.INDEX, layers=[]), "", "but the fields of another type"),
        (_document(mediaType=oci.INDEX, manifests=[]), oci.MANIFEST, "but its descriptor has"),
        (_document(manifests=[]), oci.MANIFEST, "but the fields of another type"),
        (b'{"schemaVersion":1,"fsLayers":[]}', "", "version 1"),
        (b"{}", "", "neither an image manifest nor an index"),
        (b"[]", "", "not a JSON object"),
        (b"", "", "not valid JSON"),
    ],
)
def test_refuses_ambiguous_documents(data: bytes, media_type: str, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        oci.is_index(data, media_type)


@pytest.mark.parametrize("media_type", [oci.DOCKER_MANIFEST, oci.MANIFEST, "", "application/unknown"])
def test_docker_media_types_are_equivalent_to_oci(media_type: str) -> None:
    assert not oci.is_index(_document(config={}, layers=[]), media_type)


def test_refuses_negative_and_too_large_sizes() -> None:
    for size in (-1, 1 << 63, 1.5, "1"):
        document = _document(config={"mediaType": "x", "digest": "y", "size": size}, layers=[])
        with pytest.raises(FormatError, match="malformed"):
            oci.read_manifest(document)


def test_refuses_documents_larger_than_four_mebibytes() -> None:
    with pytest.raises(FormatError, match="larger than 4 MiB"):
        oci.read_index(b" " * (oci.MAX_DOCUMENT + 1))


def test_refuses_a_layout_of_another_major_version() -> None:
    with pytest.raises(FormatError, match=r"version '2\.0\.0'"):
        oci.read_layout_header(b'{"imageLayoutVersion":"2.0.0"}')


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b'"\\ud800"', b"9" * 10_000])
def test_refuses_hostile_json_with_one_line(data: bytes) -> None:
    with pytest.raises(FormatError):
        oci.read_manifest(data)


_names = st.sampled_from(
    [
        *("schemaVersion", "mediaType", "config", "layers", "manifests", "digest", "size", "platform"),
        *("architecture", "os", "rootfs", "type", "diff_ids", "history", "Env", "ExposedPorts", "created"),
        *("annotations", "urls", "data", "subject", "imageLayoutVersion"),
    ]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=5),
    max_leaves=20,
)


@given(st.binary(max_size=200) | _json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_return_a_value_or_raise_a_pumice_error(data: bytes) -> None:
    for read in (oci.read_manifest, oci.read_index, oci.read_config, oci.read_layout_header, oci.is_index):
        try:
            read(data)
        except PumiceError:
            pass
