"""The code cache: the compiled modules of quick starts in one file, which would else be read one by one.

Python's import system takes longer to find fifty small modules than they take to run. So
`code_cache_writer` keeps their code in groups, and a group is loaded at once. A group has the module that
`GROUPS` names, with all modules that this imports and that the first group does not have.

The file is beside the compiled form of this module, in its ``__pycache__``, and like that, it has the version
of Python and the level of optimization in its name. Where Python has no such file, as in a zip archive, there
is no code cache. Like a compiled module, it is used only if it matches its sources; otherwise, the modules
are imported as usual, and the next quick start writes it anew:

- it was written by this build of Python, for this path of the package;
- it belongs to root or to the owner of the sources, and nobody else can write it;
- every source has the inode, the size and the times that it had when it was compiled.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import CodeType, ModuleType

    Stamp = tuple[int, int, int, int]
    CachedModule = tuple[str, str, bool, Stamp, CodeType]
    """The name of a module, its source, whether it is a package, the stamp of the source, and the code."""
elif hasattr(__spec__.loader, "path"):
    # The classes of importlib.machinery, which takes as long to import as two small modules.
    ModuleSpec, SourceFileLoader = type(__spec__), type(__spec__.loader)
else:
    ModuleSpec = SourceFileLoader = object  # this module is in a zip archive, and not used

GROUPS = (
    "pumice.runtime.launch.forking",
    "pumice.runtime.quick.start",
    "pumice.runtime.quick.join",
    "pumice.runtime.sandbox.image_program",
    "pumice.runtime.sandbox.host_program",
    "pumice.runtime.sandbox.join",
)
"""The last module of each group; a quick start imports the first group, and some of the others."""
FORMAT = "pumice code cache 1"
HEADER_SIZE = 4096


def find_path() -> str | None:
    """Return the path of the cache, None if there can be none."""
    compiled = __spec__.cached
    return f"{compiled}.group" if compiled else None


def make_identity() -> tuple[str, str, str]:
    """Return what must be the same in the process that wrote a cache and in one that reads it."""
    return FORMAT, sys.version, __file__


def read_stamp(path: str) -> Stamp:
    """Return what changes with a source; raises OSError."""
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def install() -> CodeCache | None:
    """Load the first group, and let the others be imported from the cache; return None if that fails."""
    path = find_path()
    cache = CodeCache(path) if path is not None else None
    if cache is None or not cache.load(GROUPS[0]):
        return None
    sys.meta_path.insert(0, cache)
    return cache


def is_writable() -> bool:
    """Return whether a cache can be written here."""
    path = find_path()
    return path is not None and not sys.dont_write_bytecode and os.access(os.path.dirname(path), os.W_OK)


class CodeCache:
    """Finds the last modules of groups, after it has loaded the other modules of the group."""

    def __init__(self, path: str) -> None:
        self._path = path

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - importlib.abc.MetaPathFinder
        """Load the group that ends with a module, and return the spec of that; None for other modules."""
        if name not in GROUPS:
            return None
        modules = self._read(name)
        if not modules:
            return None
        for module in modules[:-1]:
            _load(module)
        return _make_spec(modules[-1])

    def save(self) -> None:
        """Do nothing: the modules come from the cache."""

    def load(self, name: str) -> bool:
        """Load a group and the module that it ends with; return whether the cache has it."""
        modules = self._read(name)
        for module in modules:
            _load(module)
        return bool(modules)

    def _read(self, name: str) -> Sequence[CachedModule]:
        """Return the modules of a group in the order in which they are complete, none if it cannot be used.

        A cache that cannot be used is removed, so that it is written anew.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return ()
        try:
            modules = _decode(descriptor, name) if _is_trusted(os.fstat(descriptor)) else ()
            if not modules:
                os.unlink(self._path)
        except OSError:
            return ()
        finally:
            os.close(descriptor)
        return modules


def _decode(descriptor: int, name: str) -> Sequence[CachedModule]:
    try:
        identity, groups = marshal.loads(os.pread(descriptor, HEADER_SIZE, 0))
        if identity != make_identity():
            return ()
        offset, size = groups[name]
        modules: Sequence[CachedModule] = marshal.loads(os.pread(descriptor, size, offset))
        return modules if all(read_stamp(path) == stamp for _, path, _, stamp, _ in modules) else ()
    except (OSError, ValueError, EOFError, TypeError, KeyError):  # damaged, or a source was removed
        return ()


def _is_trusted(status: os.stat_result) -> bool:
    """Return whether only those can write a file who could change the sources: root, and their owner."""
    owners = (0, os.stat(__file__).st_uid)
    return stat.S_ISREG(status.st_mode) and status.st_uid in owners and not status.st_mode & 0o022


class _CachedLoader(SourceFileLoader):
    """A loader of a source whose code is known."""

    code: CodeType

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - importlib.abc.InspectLoader
        """Return the code of the module."""
        return self.code


def _make_spec(module: CachedModule) -> ModuleSpec:
    name, path, is_package, _, code = module
    loader = _CachedLoader(name, path)
    loader.code = code
    spec = ModuleSpec(name, loader, origin=path, is_package=is_package)
    spec.has_location = True
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations.append(os.path.dirname(path))
    return spec


def _load(cached: CachedModule) -> None:
    """Execute a module, unless it is loaded, with the attributes that importlib would give it."""
    name = cached[0]
    if name in sys.modules:
        return
    spec = _make_spec(cached)
    module: ModuleType = type(sys)(name)
    module.__spec__ = spec
    module.__loader__ = spec.loader
    module.__package__ = spec.parent
    module.__file__ = spec.origin
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    sys.modules[name] = module
    try:
        exec(cached[4], module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
