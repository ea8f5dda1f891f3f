"""Pumice: small, reproducible container images cut out of distribution packages.

The names in ``__all__`` are the Python API, which ``docs/reference/python.md`` describes. All other modules
are private. Each name is imported when it is first used, so that a command imports only what it needs.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice import errors as errors
    from pumice import registry as registry
    from pumice.api.building import build as build
    from pumice.api.building import build_all as build_all
    from pumice.api.building import lock as lock
    from pumice.api.image import Image as Image
    from pumice.api.image import open_image as open  # noqa: A004 - a name of the package, used as pumice.open
    from pumice.api.recipe import Recipe as Recipe
    from pumice.api.signers import Identity as Identity
    from pumice.api.signers import Keyless as Keyless
    from pumice.api.signing import attest as attest
    from pumice.api.signing import sign as sign
    from pumice.api.values import BuiltImage as BuiltImage
    from pumice.api.values import Config as Config
    from pumice.api.values import Layer as Layer
    from pumice.api.values import Lock as Lock
    from pumice.api.values import SignedImage as SignedImage
    from pumice.api.values import Signer as Signer
    from pumice.api.values import Verification as Verification
    from pumice.api.verification import verify as verify
    from pumice.image.inventory import FileFact as File
    from pumice.image.inventory import PackageFact as Package
    from pumice.progress import Progress as Progress
    from pumice.progress import Task as Task
    from pumice.version import __version__ as __version__

_SOURCES = {
    "Recipe": ("pumice.api.recipe", "Recipe"),
    "build": ("pumice.api.building", "build"),
    "build_all": ("pumice.api.building", "build_all"),
    "BuiltImage": ("pumice.api.values", "BuiltImage"),
    "lock": ("pumice.api.building", "lock"),
    "Lock": ("pumice.api.values", "Lock"),
    "open": ("pumice.api.image", "open_image"),
    "Image": ("pumice.api.image", "Image"),
    "Config": ("pumice.api.values", "Config"),
    "Layer": ("pumice.api.values", "Layer"),
    "Package": ("pumice.image.inventory", "PackageFact"),
    "File": ("pumice.image.inventory", "FileFact"),
    "sign": ("pumice.api.signing", "sign"),
    "attest": ("pumice.api.signing", "attest"),
    "SignedImage": ("pumice.api.values", "SignedImage"),
    "Keyless": ("pumice.api.signers", "Keyless"),
    "verify": ("pumice.api.verification", "verify"),
    "Verification": ("pumice.api.values", "Verification"),
    "Signer": ("pumice.api.values", "Signer"),
    "Identity": ("pumice.api.signers", "Identity"),
    "Progress": ("pumice.progress", "Progress"),
    "Task": ("pumice.progress", "Task"),
    "errors": ("pumice.errors", ""),
    "registry": ("pumice.registry", ""),
    "__version__": ("pumice.version", "__version__"),
}
"""The module and the name in it of each public name; a module has no name."""

__all__ = [  # noqa: RUF022 - strings, which __getattr__ defines; in the order of the reference
    "Recipe", "build", "build_all", "BuiltImage", "lock", "Lock", "open", "Image", "Config", "Layer",
    "Package", "File", "sign", "attest", "SignedImage", "Keyless", "verify", "Verification", "Signer",
    "Identity", "Progress", "Task", "errors", "registry", "__version__",
]  # fmt: skip


if not TYPE_CHECKING:  # a type checker reads the imports above, and reports any other name

    def __getattr__(name: str) -> object:
        if name not in _SOURCES:
            message = f"module 'pumice' has no attribute {name!r}"
            raise AttributeError(message)
        from importlib import import_module

        module_name, attribute = _SOURCES[name]
        module = import_module(module_name)
        value: object = getattr(module, attribute) if attribute else module
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
