"""The isolator for the bandwidth of networks, which the apps of a pod share (ace.md, "Isolators")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.appc.isolators import NETWORK_BANDWIDTH
from pumice.runtime.isolation.isolators import Complaint, report
from pumice.runtime.network import bandwidth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.progress import Progress
    from pumice.runtime.network.attachment import Attachment
    from pumice.runtime.run_options import AppOptions, PodOptions

_NAME = f"the isolator {NETWORK_BANDWIDTH}"


def limit_bandwidth(
    apps: Sequence[AppOptions], pod: PodOptions, attachment: Attachment | None, progress: Progress
) -> None:
    """Limit the network of a pod when it is connected, and report the isolators that cannot be honored.

    Raises SandboxError for these in a strict pod.
    """
    of_apps = {app.name: app.isolation.network_bandwidth for app in apps if app.isolation.network_bandwidth}
    of_pod = max(app.isolation.pod_network_bandwidth for app in apps)
    is_shared = len(apps) > 1
    rates = [rate for rate in (of_pod, *(() if is_shared else of_apps.values())) if rate]
    if pod.network is not None and pod.network.mode == "none":
        return  # there is nothing but loopback, which is not limited
    # A virtual machine in a private network sends and receives as a process in it.
    obstacle = bandwidth.find_obstacle() if attachment else "the pod shares the network of the machine"
    report(_find_complaints(of_apps, of_pod, obstacle, is_shared=is_shared), progress, strict=pod.strict)
    if attachment is not None and rates and not obstacle:
        attachment.add_step(lambda process: bandwidth.limit_bandwidth(process, min(rates)))


def _find_complaints(
    of_apps: dict[str, int], of_pod: int, obstacle: str, *, is_shared: bool
) -> Iterator[Complaint]:
    if of_pod and obstacle:
        yield Complaint(f"{_NAME} of the pod", "ignored", obstacle)
    for name in of_apps:
        if is_shared:
            yield Complaint(f"{_NAME} of the app {name!r}", "ignored", "the apps of the pod share a network")
        elif obstacle:
            yield Complaint(_NAME, "ignored", obstacle)
