"""Commands and options that docker, podman, crane, cosign, apko and uv have: what to type instead.

Loaded only to explain a mistake. ``docs/reference/other-tools.md`` has the comparison for people.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LAYERS = "layers are made from packages and the recipe's 'files'; edit the recipe and build it again"
_RECIPE_PACKAGES = "add the package to 'packages' in the recipe, then run 'pumice lock'"
_PODS = "a running image is a pod: run 'pumice ps', and 'pumice --help' for what else there is"
_BUILD = "run 'pumice build RECIPE'"
_ACI = "images come from recipes: run 'pumice build RECIPE -o aci:FILE'"
_KEYS = "run 'pumice key generate'"

COMMANDS: dict[str, str] = {
    # docker and podman
    "builder": "run 'pumice gc' to empty the cache",
    "buildx": _BUILD,
    "compose": "run the services of a file in one pod with 'pumice play FILE'",
    "compose up": "run 'pumice play FILE'",
    "compose down": "run 'pumice rm --force POD'",
    "container": _PODS,
    "container ls": "run 'pumice ps'",
    "context": "there is no daemon to choose; PUMICE_HOME chooses the store",
    "create": "run 'pumice prepare REF', then 'pumice run-prepared POD'",
    "image": "run 'pumice images', or 'pumice --help' for all commands",
    "image build": _BUILD,
    "image history": "run 'pumice history REF'",
    "image inspect": "run 'pumice inspect REF'",
    "image ls": "run 'pumice images'",
    "image prune": "run 'pumice gc'",
    "image pull": "run 'pumice pull REF'",
    "image push": "run 'pumice push REF'",
    "image rm": "run 'pumice rm REF'",
    "image save": "run 'pumice save REF'",
    "image tag": "run 'pumice tag REF NAME'",
    "import": "load an archive of images with 'pumice load'; for packages and files, write a recipe",
    "info": "run 'pumice version'",
    "machine": "there is no virtual machine; Pumice runs on Linux",
    "manifest create": "an index of several platforms is built with 'pumice build --platform A,B'",
    "manifest inspect": "run 'pumice manifest REF'",
    "mount": "run 'pumice export REF' or 'pumice copy REF dir:DIR'",
    "network": "choose the network of a program with 'pumice run --network'",
    "kube": "run 'pumice play FILE'",
    "kube play": "run 'pumice play FILE'",
    "kube down": "run 'pumice rm --force POD'",
    "pod": _PODS,
    "pod create": "run several images in a pod: pumice run IMAGE --- IMAGE",
    "restart": "run 'pumice stop POD', then 'pumice run' again",
    "scan": "run 'pumice sbom REF', and give the document to a scanner such as grype or trivy",
    "scout": "run 'pumice sbom REF', and give the document to a scanner such as grype or trivy",
    "search": "Pumice searches no registry; 'pumice tags HOST/NAME' lists the tags of a repository",
    "secret": "mount the file: pumice run -v SRC:DST:ro REF",
    "start": "run 'pumice run REF'",
    "system": "run 'pumice gc' to free space, or 'pumice version' for versions and the store",
    "system df": "run 'pumice images' for sizes, and 'pumice store path' for the directory",
    "system info": "run 'pumice version'",
    "system prune": "run 'pumice gc'",
    # crane and skopeo
    "append": _LAYERS,
    "auth": "run 'pumice login HOST'",
    "flatten": "set 'layers: single' in the recipe and build it again",
    "index": "an index of several platforms is built with 'pumice build --platform A,B'",
    "mutate": "labels and annotations are set with 'pumice build --label' and '--annotation'",
    "rebase": "run 'pumice lock --upgrade RECIPE', then build the recipe again",
    "registry": "run 'pumice serve'",
    "standalone-sign": "run 'pumice sign REF --key KEY'",
    "sync": "copy each image with 'pumice copy SRC DST'; for packages, run 'pumice lock'",
    "validate": "run 'pumice verify REF', or 'pumice store verify' for the whole store",
    # cosign
    "attach sbom": "run 'pumice attest REF --type TYPE --predicate FILE'",
    "clean": "run 'pumice delete' with the digest of the signature, which 'pumice tree REF' lists",
    "download": "run 'pumice sbom REF', or 'pumice tree REF' for all that is attached",
    "download sbom": "run 'pumice sbom REF'",
    "generate-key-pair": _KEYS,
    "import-key-pair": "run 'pumice key import FILE'",
    "initialize": "run 'pumice trust add' to trust a key",
    "public-key": "run 'pumice key export NAME'",
    "triangulate": "run 'pumice tree REF' for the signatures of an image",
    "trust-root": "run 'pumice trust add' to trust a key",
    "verify-attestation": "run 'pumice verify REF --attestation TYPE'",
    "verify-blob": "for an archive, run 'pumice verify oci-archive:FILE'",
    "sign-blob": "for an archive, run 'pumice sign oci-archive:FILE --key KEY'",
    # rkt, actool and acbuild
    "acbuild": _ACI,
    "begin": _ACI,
    "cat-manifest": "run 'pumice aci cat-manifest FILE'",
    "enter": "run 'pumice exec POD PROGRAM'",
    "image cat-manifest": "run 'pumice aci cat-manifest FILE'",
    "image export": "run 'pumice copy REF aci:FILE'",
    "image extract": "run 'pumice aci extract FILE DIR'",
    "image list": "run 'pumice images'",
    "image render": "run 'pumice aci render FILE DST'",
    "list": "run 'pumice ps --all' for pods, or 'pumice images' for images",
    "patch-manifest": "run 'pumice aci patch-manifest FILE NEW'",
    "set-exec": _ACI,
    "write": _ACI,
    # chisel
    "find": "run 'pumice slice find QUERY'",
    # apko, and tools for packages
    "add": _RECIPE_PACKAGES,
    "dot": "run 'pumice explain RECIPE PACKAGE'",
    "install": _RECIPE_PACKAGES,
    "remove": "remove the package from 'packages' in the recipe; 'pumice rm REF' removes an image",
    "show-config": "run 'pumice show RECIPE'",
    "show-packages": "run 'pumice explain RECIPE PACKAGE', or read the lock",
    "update": "run 'pumice lock --upgrade RECIPE'",
    "upgrade": "run 'pumice lock --upgrade RECIPE'",
    "venv": "an image is the environment: run 'pumice build RECIPE', then 'pumice run REF'",
}
"""Commands by their words, with what to do instead."""

_ALL_ATTACHED = "SBOM and provenance are attached to every image; 'pumice sbom REF' prints the SBOM"
_TRUST = "pass --identity WHO and --issuer URL"
_NO_ANNOTATIONS = "the annotations of an image are signed with it: pumice build --annotation NAME=VALUE"

OPTIONS: dict[str, dict[str, str]] = {
    "": {
        "--log-level": "set PUMICE_DEBUG=1 for a traceback of an error",
        "--debug": "set PUMICE_DEBUG=1 for a traceback of an error",
        "--insecure": "pass --tls-verify=false",
        "--allow-insecure-registry": "pass --tls-verify=false",
        "--allow-http-registry": "pass --tls-verify=false",
        "--dest-tls-verify": "pass --tls-verify=false",
        "--src-tls-verify": "pass --tls-verify=false",
        "--username": "pass --creds USER, or run 'pumice login HOST'",
        "--password": "pass --creds USER to be prompted for the password, or run 'pumice login HOST'",
        "--arch": "pass --platform linux/ARCH",
        "--all-tags": "copy each tag; 'pumice tags HOST/NAME' lists them",
        "--all-platforms": "all platforms are meant unless --platform selects one",
        "--output-format": "pass --format",
    },
    "attest": {"--sign": "pass --key KEY"},
    "build": {
        "--build-arg": "pass --arg NAME=VALUE for an argument that the recipe declares under 'args'",
        "--cache-from": "results are kept in the store by the digests of what they are made from",
        "--cache-to": "results are kept in the store by the digests of what they are made from",
        "--iidfile": "pass --digest-file FILE",
        "--format": "images are in OCI's format; write docker-archive:FILE with -o for Docker's",
        "--image-refs": "pass --digest-file FILE",
        "--key": "pass --sign KEY",
        "--layers": "set 'layers' in the recipe",
        "--load": "the image is always in the store; drop the option",
        "--network": "commands of 'generate' in a recipe run without network",
        "--provenance": _ALL_ATTACHED,
        "--pull": "packages come from the lock; 'pumice lock --upgrade' renews it",
        "--sbom": _ALL_ATTACHED,
        "--secret": "a build takes no secrets, because its result depends only on its inputs",
        "--squash": "set 'layers: single' in the recipe",
        "--ssh": "a build takes no secrets, because its result depends only on its inputs",
        "--target": "a recipe makes one image; write a recipe for each, with 'extend' for what they share",
    },
    "images": {
        "--digests": "pass --format '{{.Name}} {{.Digest}}'",
        "--filter": "name the images: pumice images NAME",
        "--no-trunc": "pass --json for values in full",
        "--quiet": "pass --format '{{.ID}}'",
        "-f": "name the images: pumice images NAME",
        "-q": "pass --format '{{.ID}}'",
    },
    "config": {
        "--format": "the config is JSON; drop the option",
        "--json": "the config is JSON; drop the option",
    },
    "manifest": {
        "--format": "the manifest is JSON; drop the option",
        "--json": "the manifest is JSON; drop the option",
    },
    "sbom": {"--output": "pass --format FORMAT, and redirect the output", "-o": "pass --format FORMAT"},
    "inspect": {"--config": "run 'pumice config REF'", "--raw": "run 'pumice manifest REF'"},
    "lock": {"--update": "pass --upgrade", "-U": "pass --upgrade"},
    "pull": {"-a": "pull each tag; 'pumice tags HOST/NAME' lists them", "--policy": "drop the option"},
    "push": {
        "--all": "push each image by its name; 'pumice images' lists them",
        "--format": "images are in OCI's format; drop the option",
        "--key": "pass --sign KEY",
        "--tag": "name the destination with its tag: pumice push REF HOST/NAME:TAG",
        "-t": "name the destination with its tag: pumice push REF HOST/NAME:TAG",
    },
    "run": {
        "--link": "pass --network NAME, and --network-alias NAME for the name by which others find it",
    },
    "sign": {
        "--annotations": _NO_ANNOTATIONS,
        "--sign": "pass --key KEY",
        "--tlog-upload": "a signature with a key is not uploaded to a log; drop the option",
        "-a": _NO_ANNOTATIONS,
        "--recursive": "all platforms are signed; drop the option",
        "-r": "all platforms are signed; drop the option",
        "--yes": "nothing is asked; drop the option",
        "-y": "nothing is asked; drop the option",
    },
    "verify": {
        "--certificate-identity": _TRUST,
        "--certificate-oidc-issuer": _TRUST,
        "--check-claims": "claims are always checked; drop the option",
        "--type": "pass --attestation TYPE",
        "--insecure-ignore-tlog": "pass --key PUB to trust a key; it needs no transparency log",
    },
    "login": {
        "--password": "pipe the password to 'pumice login --password-stdin HOST'",
        "-p": "pipe the password to 'pumice login --password-stdin HOST'",
    },
    "rm": {
        "-a": "name the images; 'pumice images' lists them",
        "--all": "name the images; 'pumice images' lists them",
    },
    "serve": {"--port": "pass --listen HOST:PORT", "-p": "pass --listen HOST:PORT"},
}
"""Options by command ("" for all commands), with what to do instead."""


def command_hint(words: Sequence[str]) -> str:
    """Return what to do instead of the command that ``words`` begin with, empty if it is unknown."""
    return COMMANDS.get(" ".join(words[:2])) or COMMANDS.get(words[0] if words else "", "")


def option_hint(command: str, option: str) -> str:
    """Return what to do instead of an option that ``command`` does not have, empty if it is unknown."""
    return OPTIONS.get(command, {}).get(option) or OPTIONS[""].get(option, "")


def operand_hint(command: str, words: Sequence[str]) -> str:
    """Return what to do instead of ``command`` with one operand too many, empty if that is unknown."""
    return COMMANDS.get(" ".join([command, *words[:1]]), "")
