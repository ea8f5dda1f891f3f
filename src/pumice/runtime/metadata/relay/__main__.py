"""Start the relay as a program; see the package."""

import sys
from types import ModuleType

if __name__ == "__main__":
    # Only two folders are added to what can be imported: the packages above them stay empty.
    for name in ("pumice", "pumice.runtime", "pumice.runtime.metadata", "pumice.runtime.network"):
        sys.modules[name] = ModuleType(name)
    folder = __file__.rpartition("/")[0]
    for name, path in (("metadata.relay", folder), ("network.keeper", f"{folder}/../../network/keeper")):
        sys.modules[f"pumice.runtime.{name}"] = ModuleType(f"pumice.runtime.{name}")
        sys.modules[f"pumice.runtime.{name}"].__path__ = [path]

    from pumice.runtime.metadata.relay.main import main

    main(sys.argv[1:])
