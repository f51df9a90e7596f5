"""A Ray cluster on the loopback interface, as long as its standard input is open. Its first line is the head's address; it does what the
lines there say, and answers each with one."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_AUTH_MODE="disabled", RAY_LOG_TO_DRIVER="0"
)
folder = tempfile.mkdtemp(prefix="pp-test-")
os.environ["POLYPOOL_CACHE_DIR"] = os.path.join(folder, "programs")
import ray

# As the backend starts one: with what is needed, and in patience.
LOCAL = sys.argv[2]
exec(LOCAL + "\nlighten()")
cpus = int(sys.argv[1])
context = ray.init(
    address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=int(sys.argv[3]) << 20, _node_ip_address="127.0.0.1",
    _temp_dir=folder, logging_level=logging.CRITICAL, log_to_driver=False,
)
address = context.address_info["gcs_address"]
processes = []
named = {}
kept = []
is_headless = False


def until(done, limit=150):
    end = time.monotonic() + limit
    while not done():
        if time.monotonic() > end:
            raise TimeoutError()
        time.sleep(0.02)


def alive():
    return [node for node in ray.nodes() if node["Alive"]]


def children(pid, name):
    found = []
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        for child in map(int, file.read().split()):
            with open("/proc/%d/cmdline" % child, "rb") as line:
                if name in line.read():
                    found.append(child)
    return found


def start(*arguments):
    """Another process of this interpreter."""
    log = open(os.path.join(folder, "test.log"), "ab")
    started = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
    )
    processes.append(started)
    return started


# What `ray start` does, which refuses to be on the loopback interface.
NODE = """
import json, sys
import ray
from ray._private.node import Node
from ray._private.parameter import RayParams

exec(sys.argv[2] + "\\nlighten()")
node = Node(RayParams(**json.loads(sys.argv[1])), head=False, shutdown_at_exit=False, spawn_reaper=True)
# Until the one who started it has ended.
sys.stdin.read()
node.kill_all_processes(check_alive=False, allow_graceful=True)
"""


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


@ray.remote(max_restarts=0)
class Hog:
    def there(self):
        return True


print(address, flush=True)
clients = 0
for line in sys.stdin:
    verb, *rest = line.split()
    answer = "ok"
    if verb == "node":
        # node NAME CPUS [RESOURCE=AMOUNT | LABEL=TEXT ..]
        name, count, *more = rest
        before = len(alive())
        pairs = dict(pair.split("=", 1) for pair in more)
        options = {
            "gcs_address": address,
            "node_ip_address": "127.0.0.1",
            "num_cpus": int(count),
            "resources": {what: float(amount) for what, amount in pairs.items() if amount.isdigit()},
            "labels": {what: text for what, text in pairs.items() if not text.isdigit()},
            "object_store_memory": 80 << 20,
            "include_log_monitor": False,
        }
        named[name] = start("-c", NODE, json.dumps(options), LOCAL)
        until(lambda: len(alive()) > before)
    elif verb == "kill-node":
        before = len(alive())
        (raylet,) = children(named[rest[0]].pid, b"raylet/raylet")
        os.kill(raylet, signal.SIGKILL)
        until(lambda: len(alive()) < before)
    elif verb == "kill-head":
        (head,) = children(os.getpid(), b"gcs_server")
        os.kill(head, signal.SIGKILL)
        is_headless = True
    elif verb == "hog":
        hog = Hog.options(num_cpus=int(rest[0])).remote()
        ray.get(hog.there.remote())
        kept.append(hog)
    elif verb == "unhog":
        ray.kill(kept.pop())
    elif verb == "client":
        free = socket.create_server(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        # Each client has a server of its own, at the first port from 23000 on where nobody listens yet. Two client servers on one machine
        # may find the same one, and a client may then meet the other's; so each looks elsewhere.
        clients += 1
        # It forks for each client while it serves others. Where gRPC then looks after its own threads in the child, that may hang or die.
        os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
        first = 10000 + (7 * os.getpid() + clients) % 600 * 20
        start(
            "-c", "import runpy, sys; from ray.util.client.server import proxier; "
            "proxier.MIN_SPECIFIC_SERVER_PORT, proxier.MAX_SPECIFIC_SERVER_PORT = %d, %d; "
            "runpy.run_module('ray.util.client.server', run_name='__main__', alter_sys=True)" % (first, first + 20),
            "--address", address, "--host", "127.0.0.1", "--port", str(port), "--mode", "proxy",
        )
        until(lambda: listens(port))
        answer = "ray://127.0.0.1:%d" % port
    elif verb == "raylet":
        answer = "127.0.0.1:%d" % alive()[0]["NodeManagerPort"]
    elif verb == "node-id":
        # That of the head: they come in no order.
        answer = next(node["NodeID"] for node in alive() if "node:__internal_head__" in node["Resources"])
    elif verb == "busy":
        # How many actors of others are there, and how many CPUs are taken.
        from ray._private.state import actors

        others = [actor for actor in actors().values() if actor["State"] not in ("DEAD",) and "Polypool" in actor["ActorClassName"]]
        free = ray.available_resources().get("CPU", 0)
        answer = "%d %g" % (len(others), sum(node["Resources"].get("CPU", 0) for node in alive()) - free)
    print(answer, flush=True)
for process in reversed(processes):
    process.stdin.close()
    if process not in named.values():
        process.terminate()
limit = time.monotonic() + 10
for process in processes:
    try:
        process.wait(max(0.1, limit - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
if is_headless:
    # Without a head it would wait for one.
    end_all(below(os.getpid()))
else:
    ray.shutdown()
shutil.rmtree(folder, ignore_errors=True)
os._exit(0)
