"""Programs that notify the service manager themselves (sd_notify(3)).

An image says so by the annotation of the specification. Without it, the supervisor of a pod notifies when the
programs run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.runtime.container import Mount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.appc.labels import Annotation
    from pumice.runtime.container import Container

ANNOTATION = "appc.io/executor/supports-systemd-notify"
NOTIFY_SOCKET = "NOTIFY_SOCKET"
_PATH = "/run/pumice/notify"


def is_supported(annotations: Iterable[Annotation]) -> bool:
    """Return whether the annotations of an image say that its program notifies."""
    return any(each.name == ANNOTATION and each.value == "true" for each in annotations)


def give_notify_socket(container: Container, environ: Mapping[str, str]) -> Container:
    """Return a container with the socket of the service manager, if there is one that can be mounted."""
    path = environ.get(NOTIFY_SOCKET, "")
    if not path.startswith("/"):
        return container
    variables = {**container.process.environment, NOTIFY_SOCKET: _PATH}
    process = msgspec.structs.replace(container.process, environment=variables)
    return msgspec.structs.replace(container, process=process, mounts=(*container.mounts, Mount(path, _PATH)))
