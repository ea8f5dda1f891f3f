"""Start the keeper as a program; see the package."""

import sys
from types import ModuleType

if __name__ == "__main__":
    # Only this folder is added to what can be imported: the packages above it stay empty.
    for name in ("pumice", "pumice.runtime", "pumice.runtime.network", "pumice.runtime.network.keeper"):
        sys.modules[name] = ModuleType(name)
    sys.modules["pumice.runtime.network.keeper"].__path__ = [__file__.rpartition("/")[0]]

    from pumice.runtime.network.keeper.main import main

    main(sys.argv[1:])
