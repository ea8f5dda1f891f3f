"""Apply the manifest of an App Container image, or of an app in a pod manifest, to what is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError, TrustError, UsageError
from pumice.formats import oci
from pumice.formats.appc_manifests import name_app
from pumice.runtime import id_maps, process, tree_lookup
from pumice.runtime.app_container.image_app import AppContainerImage, find_app_container_image
from pumice.runtime.isolation.isolators import Complaint, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.appc.app import App
    from pumice.formats.oci import RunConfig
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.app_container.isolators import Outcome
    from pumice.runtime.container import Container
    from pumice.runtime.prepared_tree import PreparedTree
    from pumice.runtime.run_options import AppOptions, PodApp, PodOptions
    from pumice.store.home import Home

_EXECUTOR = "pumice"


class AdoptedApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app as it runs: the config of its image, its options, and its App Container app, if it has one."""

    config: RunConfig
    options: AppOptions
    image: AppContainerImage | None = None
    app: App | None = None
    name: str = ""

    def run_config(self, tree: PreparedTree) -> RunConfig:
        """Return the config, whose user and group may be the owners of files; raises ImageError."""
        if self.app is None or "/" not in (self.app.user[0], self.app.group[0]):
            return self.config
        user, group = (
            _owner(text, tree, index) for index, text in enumerate((self.app.user, self.app.group))
        )
        return msgspec.structs.replace(self.config, user=f"{user}:{group}")

    def complete(self, container: Container, backend: str, progress: Progress) -> Container:
        """Return a container with what only App Container has; raises ImageError and UsageError."""
        if self.app is None:
            return container
        from pumice.runtime.app_container.mounts import check_mounts, mount_missing_points

        root = Path(container.root)
        if self.options.image_id:
            check_mounts(self.options, root, progress)
        if self.app.supplementary_gids and _loses_groups(container, backend):
            reason = "the program of an ordinary user has one group, unless it is root with subordinate ids"
            progress.warn(str(Complaint("supplementaryGIDs", "ignored", reason)))
        missing = mount_missing_points(self.app, container.mounts, root)
        container = msgspec.structs.replace(container, mounts=(*container.mounts, *missing))
        return _complete(self, self.app, container, backend)


def adopt_app(app: PodApp, image: Image, pod: PodOptions, home: Home, progress: Progress) -> AdoptedApp:
    """Return how an app runs whose image for this platform is ``image``, and report its isolators.

    Raises FormatError for an unusable manifest, and SandboxError if an isolator is not enforced in a strict
    pod.
    """
    config, options = image.config().config, app.options
    origin = find_app_container_image(image)
    if options.image_id:
        _check_image_id(app, image, home, progress, strict=pod.strict)
    if not options.pod_app and (origin is None or origin.manifest.app is None):
        return AdoptedApp(config=config, options=options, image=origin)
    from pumice.runtime.app_container.image_app import read_pod_app, read_pod_isolators
    from pumice.runtime.app_container.isolators import apply_isolators, bound_by_pod
    from pumice.runtime.app_container.mounts import find_owner_complaints, restrict_mounts

    from_image = not options.pod_app
    if options.pod_app:
        appc_app = read_pod_app(options.pod_app)
        config = _replace_app(config, appc_app)
    else:
        appc_app = origin.manifest.app  # type: ignore[union-attr, assignment]  # checked above
    directory = home.directory("seccomp")
    plan = apply_isolators(appc_app.isolators, options.isolation, directory, from_image=from_image)
    plan = bound_by_pod(plan, read_pod_isolators(options.pod_isolators), directory)
    complaints = (*_complaints(plan.outcomes), *find_owner_complaints(options, pod.volumes))
    report(complaints, progress, strict=pod.strict)
    options = msgspec.structs.replace(options, isolation=plan.isolation)
    return AdoptedApp(
        config=config,
        options=restrict_mounts(options, appc_app),
        image=origin,
        app=appc_app,
        name=options.name or name_app(origin.manifest.name if origin else app.source.reference),
    )


def _complaints(outcomes: tuple[Outcome, ...]) -> Iterator[Complaint]:
    for outcome in outcomes:
        if outcome.effect != "enforced":
            yield Complaint(f"the isolator {outcome.isolator}", outcome.effect, outcome.reason)


def _check_image_id(app: PodApp, image: Image, home: Home, progress: Progress, *, strict: bool) -> None:
    """Raise TrustError if the image is not the one of the ID in the pod manifest."""
    from pumice.runtime.app_container.stored_images import find_image_id

    expected, reference = app.options.image_id, app.source.reference
    try:
        image_id = find_image_id(image, reference, home, progress)
    except UsageError as error:  # App Container has no such name
        complaint = Complaint(f"the image ID of the app {app.options.name!r}", "ignored", error.message)
        report([complaint], progress, strict=strict)
        return
    if image_id != expected:
        raise TrustError(
            f"the image of the app {app.options.name!r} is {image_id[:23]}…, not {expected[:23]}…",
            where=app.source.reference,
            hint="pass the right file with --aci, or correct the ID in the pod manifest",
        )


def _replace_app(config: RunConfig, app: App) -> RunConfig:
    """Return the config of an image whose app is replaced as a whole."""
    from pumice.image import aci_conversion

    run = msgspec.convert(aci_conversion.make_run(app), oci.RunConfig)
    return msgspec.structs.replace(run, stop_signal=config.stop_signal)


# The container -------------------------------------------------------------------------------------


def _complete(adopted: AdoptedApp, app: App, container: Container, backend: str) -> Container:
    from pumice.runtime.app_container import activation, notification

    handlers = {handler.name: handler.exec for handler in app.event_handlers if handler.exec}
    pre_start, post_stop = handlers.get("pre-start", ()), handlers.get("post-stop", ())
    _check_directory(container)
    planned = container.process
    groups = {*planned.groups, *app.supplementary_gids} - {planned.gid}
    container = msgspec.structs.replace(
        container,
        process=msgspec.structs.replace(
            planned,
            groups=tuple(sorted(groups)),
            environment=_environment(adopted, container),
        ),
        pre_start=pre_start,
        post_stop=post_stop,
        # An init runs them; fly has none, and needs none.
        init=container.init or (backend == "builtin" and bool(pre_start or post_stop)),
        listen=activation.plan_sockets(app, os.environ),
    )
    if adopted.image and notification.is_supported(adopted.image.manifest.annotations):
        container = notification.give_notify_socket(container, os.environ)
    return container


def _environment(adopted: AdoptedApp, container: Container) -> dict[str, str]:
    """Return the variables of an app; those of its manifest win (ace.md, "Execution Environment")."""
    login, shell = process.find_account(container.process.uid, Path(container.root))
    account = {"USER": login, "LOGNAME": login, "SHELL": shell}
    return {
        **{name: value for name, value in account.items() if value},
        **container.process.environment,
        "AC_APP_NAME": adopted.name,
        "container": _EXECUTOR,
    }


def _loses_groups(container: Container, backend: str) -> bool:
    """Return whether the program cannot have other groups than its own."""
    if backend == "kvm" or not id_maps.is_ordinary_user():
        return False
    return not id_maps.choose_maps(container).helpers


def _check_directory(container: Container) -> None:
    """Raise ImageError if the working directory is neither in the image nor on a volume."""
    directory = container.process.directory
    path = tree_lookup.resolve(Path(container.root), directory)
    is_mounted = any(f"{directory}/".startswith(f"{mount.target.rstrip('/')}/") for mount in container.mounts)
    if not is_mounted and (path is None or not path.is_dir()):
        raise ImageError(
            f"the working directory {directory[:200]!r} is not in the image",
            hint="choose one with --workdir, or add it to the image",
        )


def _owner(text: str, tree: PreparedTree, index: int) -> str:
    """Return the owner (0) or group (1) of the file ``text`` of an image, or ``text`` if it is no path."""
    if not text.startswith("/"):
        return text
    path = tree_lookup.resolve(tree.root, text)
    if path is None:
        raise ImageError(f"the user or group is the owner of {text[:200]!r}, which the image does not have")
    status = path.lstat()
    owners = (status.st_uid, status.st_gid)
    relative = os.fsencode(path.relative_to(tree.root))
    records = tree.owners.read_bytes().split(b"\0") if tree.owners else []
    for record in records:
        uid, _, rest = record.partition(b" ")
        gid, _, rest = rest.partition(b" ")
        if rest.partition(b" ")[2].lstrip(b"/") == relative:
            owners = (int(uid), int(gid))
    return str(owners[index])
