"""The runtime app of a pod's manifest: an image's app as it runs, with its mounts and volumes.

pods.md, "Pod Manifest Schema", and "reified" there: nothing is left to be decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.formats import appc_manifests

if TYPE_CHECKING:
    from pumice.formats.oci import ImageConfig
    from pumice.runtime.app_container.adoption import AdoptedApp
    from pumice.runtime.container import Container, Mount


def describe_app(
    config: ImageConfig, app: AdoptedApp, container: Container
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a runtime app and the volumes that it mounts.

    The environment is that of the image: what the user adds often has secrets, and the other apps of the pod
    can read the manifest.
    """
    process = container.process
    mounts_by_path = {mount.target: mount for mount in app.options.mounts}
    names = appc_manifests.name_volumes(mounts_by_path)
    mounts = {name: mounts_by_path[path] for name, path in names.items()}
    runtime_app = {
        "app": {
            **(msgspec.to_builtins(app.app) if app.app else appc_manifests.make_app(config.config)),
            "exec": list(process.arguments),
            "user": str(process.uid),
            "group": str(process.gid),
            "supplementaryGIDs": list(process.groups),
            "workingDirectory": process.directory,
            "mountPoints": [
                {"name": name, "path": mount.target, "readOnly": mount.read_only}
                for name, mount in mounts.items()
            ],
        },
        "readOnlyRootFS": container.read_only,
        "mounts": [{"volume": name, "path": mount.target} for name, mount in mounts.items()],
        "annotations": [{"name": name, "value": value} for name, value in app.options.annotations],
    }
    return runtime_app, [_describe_volume(name, mount) for name, mount in mounts.items()]


def _describe_volume(name: str, mount: Mount) -> dict[str, Any]:
    if not mount.source:
        return {"name": name, "kind": "empty", "mode": "1777", "readOnly": mount.read_only}
    return {"name": name, "kind": "host", "source": mount.source, "readOnly": mount.read_only}
