"""The Python API: lazy, typed, silent, and equal to the commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pumice
from tests.support import docs, peers
from tests.support.recording_progress import RecordingProgress
from tests.support.world import World

PAGES = [docs.ROOT / "docs/reference/python.md", docs.ROOT / "docs/how-to/use-from-python.md"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(world.project)
    return world


def test_importing_pumice_loads_nothing_else() -> None:
    probe = "import sys; before = set(sys.modules); import pumice; print(set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert result.stdout == "{'pumice'}\n"


HEAVY = [
    "urllib3",
    "cryptography",
    "nacl",
    "pysequoia",
    "rich",
    "yaml",
    "zstandard",
    "deflate",
    "asyncio",
    "sigstore",
]


@pytest.mark.parametrize("name", ["build", "lock", "open", "verify", "Recipe", "BuiltImage", "errors"])
def test_a_name_loads_no_library_before_it_is_used(name: str) -> None:
    probe = f"import sys, json, pumice; pumice.{name}; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    modules = json.loads(result.stdout)
    assert not set(HEAVY) & set(modules)
    assert not [module for module in modules if module.startswith("pumice.cli")]


def test_all_names_exist_and_are_listed() -> None:
    assert dir(pumice) == sorted(pumice.__all__)
    for name in pumice.__all__:
        assert getattr(pumice, name) is not None
    assert pumice.registry.Client.__name__ == "Client"
    with pytest.raises(AttributeError, match="module 'pumice' has no attribute 'nothing'"):
        _ = pumice.nothing  # type: ignore[attr-defined]  # the subject of the test


def test_every_public_name_is_on_the_reference_page() -> None:
    page = PAGES[0].read_text()
    names = {
        name: f"`{name}(" if name.islower() and name not in ("errors", "registry", "__version__") else name
        for name in pumice.__all__
    }
    assert [name for name, text in names.items() if text not in page] == []


def test_a_build_equals_that_of_the_command(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    built = pumice.build("recipe.yaml", outputs="oci:api")
    assert capfd.readouterr() == ("", "")
    assert (built.name, built.lock) == ("example.com/hello:1.0", Path("recipe.lock"))
    assert built.platforms == {"linux/amd64": built.digest}
    assert built.digest == world.build("-o", "oci:command", store="other")
    assert (Path("api/index.json").read_bytes()) == Path("command/index.json").read_bytes()
    with pumice.open("example.com/hello:1.0") as image:
        assert image.digest == built.digest


def test_a_build_without_save_leaves_no_name_in_the_store(world: World) -> None:
    pumice.build("recipe.yaml", save=False, platforms="linux/amd64")
    with pytest.raises(pumice.errors.ImageError):
        pumice.open("store:example.com/hello:1.0")


def test_several_recipes_are_built_at_once(world: World) -> None:
    world.write("environment: {A: b}\n", name="other.yaml")
    other = world.project / "other.yaml"
    other.write_text(other.read_text().replace("example.com/hello", "example.com/other"))
    built = pumice.build_all(
        ["recipe.yaml", pumice.Recipe.load("other.yaml")],
        outputs=lambda recipe: [f"oci:{recipe.path.stem}"],
    )
    assert [image.name for image in built] == ["example.com/hello:1.0", "example.com/other:1.0"]
    assert built[0].digest == world.build("-o", "oci:command", store="other")
    assert [image.lock.exists() for image in built] == [True, True]
    for image, location in zip(built, ("oci:recipe", "oci:other"), strict=True):
        with pumice.open(location) as opened:
            assert opened.digest == image.digest


def test_a_recipe_that_fails_does_not_stop_the_others(world: World) -> None:
    world.write(packages="[nothing]", name="other.yaml")
    other = world.project / "other.yaml"
    other.write_text(other.read_text().replace("example.com/hello", "example.com/other"))
    with pytest.raises(pumice.errors.ResolveError, match="nothing"):
        pumice.build_all(["other.yaml", "recipe.yaml"])
    with pumice.open("example.com/hello:1.0") as image:
        assert image.name == "example.com/hello:1.0"


def test_recipes_that_write_the_same_are_refused(world: World) -> None:
    world.write("environment: {A: b}\n", name="other.yaml")
    with pytest.raises(pumice.errors.UsageError, match=r"would both write example\.com/hello:1\.0"):
        pumice.build_all(["recipe.yaml", "other.yaml"])
    with pytest.raises(pumice.errors.UsageError, match=r"would both write recipe\.lock"):
        pumice.build_all(["recipe.yaml", "recipe.yaml"])


def test_an_image_is_described(world: World) -> None:
    world.write(
        "run: {user: root, command: [/bin/hello], arguments: [-v], ports: {http: 80}}\nlabels: {a: b}\n"
    )
    pumice.build("recipe.yaml", outputs=["oci:out"])
    with pumice.open("oci:out") as image:
        assert image.platforms == ("linux/amd64",)
        config = image.config("linux/amd64")
        assert (config.platform, config.entrypoint, config.command) == (
            "linux/amd64",
            ("/bin/hello",),
            ("-v",),
        )
        assert (config.ports, config.labels["a"]) == (("80/tcp",), "b")
        assert "hello" in {package.name for package in image.packages()}
        assert "usr/bin/hello" in {file.path for file in image.files()}
        assert all(layer.size > 0 for layer in image.layers())
        with pytest.raises(pumice.errors.ImageError):
            image.config("linux/arm64")


def test_a_recipe_from_text_is_built_and_recorded(world: World) -> None:
    text = Path("recipe.yaml").read_text().replace('"1.0"', "${V}") + "args: {V: }\n"
    recipe = pumice.Recipe.parse(text, path="memory.yaml", args={"V": "2"})
    assert (recipe.name, recipe.version, recipe.args) == ("example.com/hello", "2", {"V": "2"})
    built = pumice.build(recipe, outputs=["oci:out"])
    assert built.name == "example.com/hello:2"
    assert Path("memory.lock").exists()
    assert not Path("memory.yaml").exists()
    from tests.support.evidence import attached_documents

    statement = json.loads(attached_documents(Path("out"))["application/vnd.in-toto+json"])
    external = statement["predicate"]["buildDefinition"]["externalParameters"]
    assert external["args"] == {"V": "2"}
    assert external["recipe"]["name"] == "memory.yaml"
    assert external["recipe"]["content"]


def test_a_lock_is_written_and_upgraded(world: World) -> None:
    progress = RecordingProgress()
    locked = pumice.lock("recipe.yaml", progress=progress)
    assert locked.path == Path("recipe.lock")
    assert locked.packages["linux/amd64"]["hello"] == "1.0-1"
    assert progress.notes
    assert pumice.lock("recipe.yaml", upgrade=["hello"]) == locked
    with pytest.raises(pumice.errors.UsageError):
        pumice.lock("recipe.yaml", upgrade=["nothing"])


def test_a_signed_image_is_verified(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "secret")
    assert world.run("key", "generate", "--output", "release").code == 0
    built = pumice.build("recipe.yaml", outputs=["oci:out"], key="release.key")
    verified = pumice.verify("oci:out", key="release.pub", name="example.com/hello:1.0")
    assert (verified.digest, verified.name) == (built.digest, "example.com/hello:1.0")
    assert [signer.label for signer in verified.signers] == ["release.pub"]
    assert "https://slsa.dev/provenance/v1" in verified.attestations
    world.write("labels: {a: b}\n")
    pumice.build("recipe.yaml", outputs=["oci:unsigned"])
    with pytest.raises(pumice.errors.TrustError):
        pumice.verify("oci:unsigned", key=["release.pub"])


def test_an_image_is_not_written_to_standard_output(world: World) -> None:
    with pytest.raises(pumice.errors.UsageError, match="standard output"):
        pumice.build("recipe.yaml", outputs=["oci-archive:-"])


def python_blocks(page: Path) -> list[docs.Block]:
    return [block for block in docs.blocks(page.read_text()) if block.kind == "python"]


def test_the_examples_are_typed(tmp_path: Path) -> None:
    for page in PAGES:
        for block in python_blocks(page):
            (tmp_path / f"{page.stem.replace('-', '_')}_{block.line}.py").write_text(block.text)
    files = sorted(map(str, tmp_path.glob("*.py")))
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.mirror
def test_the_reference_page_does_what_it_says(tmp_path: Path) -> None:
    for program in docs.needs(PAGES[0].read_text()):
        peers.need(program)
    assert "\n\n".join(docs.run(PAGES[0], tmp_path)) == ""
