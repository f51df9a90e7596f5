"""What is needed to start an instance of Ray on this machine. Knows neither pool nor slots."""

import fcntl
import os
import shutil
import signal
import socket
import tempfile
import time

# It has to start half a dozen processes.
STARTING = 120.0
# A socket's path has at most 107 bytes, and Ray's has so many below its folder.
SOCKET_PATH = 72
# Ports that Ray's parts tell each other by files if nobody chose them, and give up on after 15 seconds; and one that always is in a file,
# which says -1 where there is no dashboard.
PORTS = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port")
IN_A_FILE = "dashboard_agent_listen_port"
# What Ray's parts read when they start: a driver waits for no workers that are started for it before it wants one, which is for ever where
# those do not come in time; and they all have more of that.
PATIENT = {
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_register_timeout_seconds": "%d" % STARTING,
    "RAY_agent_register_timeout_ms": "%d" % (1000 * STARTING),
}


def lighten():
    """Has Ray start, in this process, no more than a pool needs, and not give up on that so soon where the machine is busy. These are
    parts of Ray that others do not see; where they are not as expected, it starts as it always does."""
    for name, value in PATIENT.items():
        os.environ.setdefault(name, value)
    try:
        from ray._private import node, services

        head, find = node.Node, services.get_node
        parts, raylet = (head.start_monitor, head.start_log_monitor, head.start_api_server), head.start_raylet
    except (ImportError, AttributeError):
        return

    def nothing(self, **_):
        self._webui_url = ""

    def start_raylet(self, *args, **options):
        for name in PORTS:
            if getattr(self._ray_params, name, None) in (None, 0):
                setattr(self._ray_params, name, free_port())
        try:
            from ray._raylet import get_port_filename

            with open(os.path.join(self._session_dir, get_port_filename(self._node_id, IN_A_FILE)), "x") as file:
                file.write("-1")
        except (ImportError, AttributeError, OSError):
            pass  # It waits for it as it always does.
        return raylet(self, *args, **options)

    def get_node(*args, **options):
        until = time.monotonic() + STARTING
        while True:
            try:
                return find(*args, **options)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    for part in parts:
        setattr(head, part.__name__, nothing)
    head.start_raylet = start_raylet
    services.get_node = get_node


def below(ancestor):
    """The processes that this one has started, and those that they have, by descriptors."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % name, "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            pass  # It has ended.
    found, last = set(), {ancestor}
    while last:
        last = {pid for pid, parent in parents.items() if parent in last}
        found |= last
    descriptors = []
    for pid in found:
        try:
            descriptors.append(os.pidfd_open(pid))
        except OSError:
            pass
    return descriptors


def end_all(processes):
    """Ends those of them that are there."""
    for process in processes:
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        except OSError:
            pass
        os.close(process)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Folder:
    """The folder of a local instance. Whoever starts one removes those that were left by a machine that went down, or a kill."""

    PREFIX = "polypool-ray-"

    def __init__(self):
        base = tempfile.gettempdir()
        if len(os.fsencode(base)) + len(self.PREFIX) + 9 + SOCKET_PATH > 107:
            base = "/tmp"
        self.sweep(base)
        self.path = tempfile.mkdtemp(prefix=self.PREFIX, dir=base)
        self.lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def sweep(self, base):
        for name in os.listdir(base):
            path = os.path.join(base, name)
            if not name.startswith(self.PREFIX):
                continue
            try:
                lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                # One that is used is locked; one that is so new may be about to be.
                if os.fstat(lock).st_uid == os.getuid() and os.listdir(path):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            except OSError:
                pass
            finally:
                os.close(lock)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)
