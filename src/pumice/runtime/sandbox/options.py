"""The options of the sandbox's command line."""

from __future__ import annotations

from pumice.runtime.sandbox.argument_codec import decode_arguments
from pumice.runtime.sandbox.capabilities import CAPABILITIES
from pumice.runtime.sandbox.errors import SetupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The directories that are searched for the program if its environment has no PATH."""


class Options:
    """The options of the command line. ``--args FD`` reads more, in the format of `argument_codec`."""

    root = ""  # --root DIR: never written to without --in-place
    read_only = False  # --read-only
    in_place = False  # --in-place: write to DIR itself; no overlay, no copy, no --owners
    last_pid = 0  # --last-pid N: number the processes inside from N+1, if the kernel allows it
    copy = False  # --copy: copy the root into memory instead of laying an overlay over it
    # --only-root: start PROGRAM of this machine, with a writable root at DIR/root, and end with it
    only_root = False
    mount_volumes = False  # --mount-volumes: with --only-root, on the writable root, too
    fly = False  # --fly: share all but the root with the host
    own_streams = False  # --own-streams: PROGRAM's user opens streams by name, also with --only-root
    signal_child = False  # --signal-child: pass signals to the child of --only-root's PROGRAM
    init = False  # --init: be process 1 inside, forward signals and reap orphans
    terminal = False  # --terminal: if 0 and 1 are a terminal, give PROGRAM one of its own
    # --record-owners FILE: let changes of owners and ids succeed without effect, and record the owners
    record_owners = ""
    own_terminal = False  # --own-terminal: 0, 1 and 2 are a terminal of PROGRAM's own
    network = "host"  # --network host|none|private
    network_fd = -1  # --network-fd FD: a socket to the process that connects a private network
    hostname = "pumice"  # --hostname NAME
    uid = gid = 0  # --uid N --gid N
    cwd = "/"  # --cwd DIR, created if it does not exist
    owners = ""  # --owners FILE: records of `uid gid mode path`, NUL between, applied to the root
    shifted = False  # set by the sandbox: root gives up its rights, see `shifted_root`
    # --map-info FD --map-ready FD: give all ids to the child that PROGRAM names on a pipe; then answer
    map_info = map_ready = -1
    map_helpers = False  # --map-helpers: let newuidmap and newgidmap write the maps
    explain = False  # --explain: say which system calls the filter refuses
    refused_calls = -1  # set by the sandbox: a socket of `refused_calls`
    seccomp_fd = -1  # --seccomp FD: a file with the filter of system calls
    new_privileges = False  # --new-privileges: let set-id programs take effect
    oom_score = ""  # --oom-score N
    own_filter = False  # --own-filter: the user chose the filter, which can refuse any system call
    shm_size = 0  # --shm-size BYTES: the size of /dev/shm
    # PROGRAM is a virtual machine that runs NAME, see `guest_machine`:
    # --guest-port FD … --guest-name NAME
    # --guest-listener FD: a socket for those who run further programs in it
    # --guest-terminal NUMBERS: the streams that are a terminal of NAME, such as 012
    # --guest-share PROGRAM: virtiofsd, which shares the root with it
    guest_listener = -1
    # In a pod of several apps, --hold has the machine, and a process for each app of it:
    # --guest-client FD …: the connections of the apps, each in its --guest-session FD
    # --guest-app N: the number of the app; --guest-share-fd FD: where virtiofsd listens
    # --guest-go FD: a pipe with a byte as soon as the program may start
    guest_session = guest_share_fd = guest_go = -1
    guest_app = 0
    guest_terminal = ""
    guest_share = ""
    guest_name = ""
    bundle = ""  # --bundle DIR: an OCI bundle, attached with shifted ids
    die_with_parent = False  # --die-with-parent
    # --pre-start-file FD --post-stop-file FD: the options of an event handler that is PROGRAM's engine, too
    pre_start_file = post_stop_file = -1
    status_fd = 2  # --status-fd FD: where the reason of exit code 125 goes
    exec_fd = -1  # --exec-fd FD: a pipe that closes when PROGRAM has been executed
    # --join FD: run PROGRAM in the namespaces of the process of this pidfd, with its restrictions
    join = -1
    # --hold: create the namespaces of a pod and hold them, see `pod`
    # --pod FD: run PROGRAM in the namespaces of the pod of this pidfd
    # --pod-pids: share the process ids of the pod
    hold, pod, pod_pids = False, -1, False

    def __init__(self) -> None:
        self.groups: list[int] = []  # --group N …
        self.env: dict[str, str] = {}  # --env NAME=VALUE …
        # --bind|--ro-bind SOURCE TARGET, --tmpfs|--noexec-tmpfs DATA TARGET …; with --flat-bind and
        # --flat-ro-bind, without what is mounted below SOURCE; with --only-root but not --mount-volumes, only
        # a tmpfs with a relative TARGET is mounted, below DIR
        self.mounts: list[tuple[str, str, str]] = []
        self.files: list[tuple[str, str]] = []  # --file NAME TEXT …: DIR/NAME, in memory, as a SOURCE
        self.maps: dict[str, list[str]] = {"uid": [], "gid": []}  # --uid-map|--gid-map INSIDE:OUTSIDE:COUNT …
        self.capabilities = list(CAPABILITIES.values())  # --capabilities N,N… of root; the bounding set
        self.ambient: list[int] = []  # --ambient N,N…: what other users than root get
        self.rlimits: list[tuple[int, int, int]] = []  # --rlimit NUMBER SOFT HARD …
        self.cgroups: list[int] = []  # --cgroup FD …: files through which the program enters groups
        self.devices: list[tuple[str, str]] = []  # --device SOURCE TARGET …
        self.sysctls: list[tuple[str, str]] = []  # --sysctl NAME VALUE …
        self.unmasked: list[str] = []  # --unmask PATH …: what stays visible and writable; ALL is everything
        self.guest_ports: list[int] = []  # --guest-port FD …
        self.guest_clients: list[int] = []  # --guest-client FD …
        # --before COUNT WORD …: commands to run before PROGRAM, with --init
        self.before: list[list[str]] = []
        # --pre-start|--post-stop COUNT WORD …: what runs before and after PROGRAM, with --init or --fly;
        # with --only-root, these are only their names
        # --listen NAME tcp|udp|fd PORT|FD …: sockets that PROGRAM gets, see `activation`
        self.listen: list[tuple[str, str, str]] = []
        # --exact-filter: filter the system calls of PROGRAM only, not of what starts it
        self.pre_start, self.post_stop, self.exact_filter = list[str](), list[str](), False
        self.hidden: list[str] = []  # --hide DIR …: empty and read-only for --only-root's PROGRAM
        self.emptied: list[str] = []  # --empty DIR …: empty and writable for --only-root's PROGRAM
        self.keep: list[int] = []  # --keep FD …: what --only-root's PROGRAM inherits besides 0, 1 and 2
        self.handlers: dict[str, Options] = {}  # set by the sandbox: the handlers of --only-root
        self.argv: list[str] = []


def parse_options(arguments: Sequence[str]) -> Options:
    """Return the options in ``arguments``; raises SetupError for an invalid one."""
    options = Options()
    remaining = list(reversed(arguments))
    try:
        while remaining and (option := remaining.pop()) != "--":
            if option == "--args":
                with open(int(remaining.pop()), "rb") as file:
                    remaining += reversed(decode_arguments(file.read()))
            else:
                _parse_option(options, option, remaining)
    except (IndexError, ValueError, OSError):
        raise SetupError(f"the option {option} has no usable value") from None
    options.argv = list(reversed(remaining))
    if not options.hold and (not options.root or not options.argv):
        raise SetupError("a root and a program are needed", "add --root DIR -- PROGRAM")
    return options


_SWITCHES = (
    "read_only",
    "in_place",
    "copy",
    "only_root",
    "mount_volumes",
    "map_helpers",
    "die_with_parent",
    "own_streams",
    "signal_child",
    "init",
    "terminal",
    "own_terminal",
    "explain",
    "new_privileges",
    "fly",
    "hold",
    "pod_pids",
    "exact_filter",
    "own_filter",
)
_TEXTS = (
    "root",
    "network",
    "hostname",
    "cwd",
    "owners",
    "oom_score",
    "record_owners",
    "bundle",
    "guest_name",
    "guest_share",
    "guest_terminal",
)
_NUMBERS = {
    "uid": "uid",
    "gid": "gid",
    "status_fd": "status_fd",
    "last_pid": "last_pid",
    "exec_fd": "exec_fd",
    "join": "join",
    "pod": "pod",
    "shm_size": "shm_size",
    "seccomp": "seccomp_fd",
    "pre_start_file": "pre_start_file",
    "post_stop_file": "post_stop_file",
    "network_fd": "network_fd",
    "map_info": "map_info",
    "guest_listener": "guest_listener",
    "guest_session": "guest_session",
    "guest_share_fd": "guest_share_fd",
    "guest_go": "guest_go",
    "guest_app": "guest_app",
    "map_ready": "map_ready",
}
_NUMBER_LISTS = {
    "group": "groups",
    "keep": "keep",
    "cgroup": "cgroups",
    "guest_port": "guest_ports",
    "guest_client": "guest_clients",
}
_PATH_LISTS = {"unmask": "unmasked", "hide": "hidden", "empty": "emptied"}


def _parse_option(options: Options, option: str, remaining: list[str]) -> None:
    name = option.removeprefix("--").replace("-", "_")
    if name == "no_groups":  # --no-groups: drop the groups so far
        options.groups.clear()
    elif name in _SWITCHES:
        setattr(options, name, True)
    elif name in _TEXTS:
        setattr(options, name, remaining.pop())
    elif name in _NUMBERS:
        setattr(options, _NUMBERS[name], int(remaining.pop()))
    elif name in _NUMBER_LISTS:
        getattr(options, _NUMBER_LISTS[name]).append(int(remaining.pop()))
    elif name in ("capabilities", "ambient"):
        setattr(options, name, [int(number) for number in remaining.pop().split(",") if number])
    elif name in ("uid_map", "gid_map"):
        options.maps[name[:3]].append(remaining.pop().replace(":", " "))
    else:
        _parse_repeatable_option(options, name, option, remaining)


def _parse_repeatable_option(options: Options, name: str, option: str, remaining: list[str]) -> None:
    match name:
        case "env":
            key, _, value = remaining.pop().partition("=")
            options.env[key] = value
        case "bind" | "ro_bind" | "flat_bind" | "flat_ro_bind" | "tmpfs" | "noexec_tmpfs":
            options.mounts.append((name, remaining.pop(), remaining.pop()))
        case "rlimit":
            options.rlimits.append((int(remaining.pop()), int(remaining.pop()), int(remaining.pop())))
        case "device" | "sysctl" | "file":
            getattr(options, f"{name}s").append((remaining.pop(), remaining.pop()))
        case "unmask" | "hide" | "empty":
            getattr(options, _PATH_LISTS[name]).append(remaining.pop())
        case "before":
            options.before.append([remaining.pop() for _ in range(int(remaining.pop()))])
        case "pre_start" | "post_stop":
            setattr(options, name, [remaining.pop() for _ in range(int(remaining.pop()))])
        case "listen":
            options.listen.append((remaining.pop(), remaining.pop(), remaining.pop()))
        case _:
            raise SetupError(f"unknown option {option}")
