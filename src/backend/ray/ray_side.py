"""Ray, as the bridge sees it: a driver of a cluster, and agents in slots that actors hold.

A slot is an actor, which lasts as long as the agent: so Ray places it, and sees its resources as taken. It is not detached and
never restarted, so that it goes when this process does. Bytes go by calls of the actor, several under way to it and one that
waits for what the agent says. In the per-task mode the actor takes nothing, and each call is a task of Ray with the resources.
"""

import asyncio
import collections
import concurrent.futures
import logging
import os
import socket
import sys

from polypool_ray_line import UNANSWERED, Line, Strange
from polypool_ray_local import STARTING, Folder, below, end_all, lighten
from polypool_ray_near import WINDOW, Supervisor, in_words
from polypool_slot import Failure

# The oldest version of `ray` that is known to work.
OLDEST = (2, 10)
# A head that is one, but does not get on: on a machine that is busy it may take its time. The server of clients starts a process for each.
UNFINISHED = 30.0
UNFINISHED_CLIENT = 60.0
# How often is looked which nodes there are, and how long that may take before the head counts as gone.
RECOUNT = 0.5
HANGING = 5.0
# A slot's threads: for those, for what comes back, and for its end.
THREADS = WINDOW + 4
# Shared memory of a local instance: what we send is gone as soon as it has arrived.
OBJECT_STORE = 128 << 20
# What gRPC says of a call that nobody there knows.
UNIMPLEMENTED = 12


class Engine:
    def __init__(self, config):
        self.config = config
        self.on_change = self.on_gone = self.on_note = lambda _: None
        self.ray = None
        self.loop = None
        self.folder = None
        self.address = None
        self.watching = []
        self.is_over = False
        self.is_client = False
        # Ray's processes end with the thread that started them, so that one stays.
        self.thread = concurrent.futures.ThreadPoolExecutor(1, "polypool-ray")
        # What may hang when a head is lost.
        self.errands = concurrent.futures.ThreadPoolExecutor(8, "polypool-errand")
        # Files on nodes that are known to be the program.
        self.known = {}
        # So many of our slots are on each node, where we choose it.
        self.placed = collections.Counter()
        self.slot_class = self.turn = None

    def one(self, name, default=None):
        return self.config.get(name, [default])[0]

    # Connecting.

    async def connect(self):
        self.loop = asyncio.get_running_loop()
        os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_LOG_TO_DRIVER="0", RAY_DEDUP_LOGS="0")
        # A client that is killed is not waited for.
        os.environ["RAY_CLIENT_RECONNECT_GRACE_PERIOD"] = "0"
        # Who knocks at a door that is not the head's hears so soon.
        os.environ.setdefault("RAY_py_gcs_connect_timeout_s", "%d" % UNANSWERED)
        cpus = self.one("local")
        if not cpus:
            address = self.find_address()
            if address == "auto":
                address = await self.find_running()
            if address is not None:
                await self.join(address)
            else:
                cpus = self.one("otherwise")
        if cpus:
            await self.start_local(int(cpus))
        nodes = await self.nodes()
        slots = self.count(nodes)
        if not slots:
            raise Failure("place", "no node of the cluster at %s has what a worker asks for (%s); there are: %s"
                          % (self.address, self.wishes(), "; ".join(map(describe, nodes)) or "none"))
        self.prepare()
        self.watching.append(asyncio.ensure_future(self.recount(slots)))
        return {"slots": slots, "address": self.address, "version": self.ray.__version__}

    def load(self):
        """Imports Ray, when the environment that it reads then is settled."""
        try:
            import ray
        except ImportError as error:
            raise Failure("module", "the Python interpreter `%s` has no usable `ray` (%s); install it there (`pip install ray`), or "
                          "name another interpreter with `python` or POLYPOOL_PYTHON" % (sys.executable, error))
        if numbers(ray.__version__) < OLDEST:
            raise Failure("version", "ray %s of `%s` is too old; %s and later are supported"
                          % (ray.__version__, sys.executable, ".".join(map(str, OLDEST))))
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        self.ray = ray

    async def blocking(self, limit, work, *args):
        """Does in Ray's thread what blocks."""
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self.thread, work, *args), limit)

    async def start_local(self, cpus):
        # The head is for this user alone, and its ports are on loopback.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=os.urandom(32).hex())
        self.stay_on_loopback()
        if self.ray is None:
            self.load()
        self.folder = Folder()
        lighten()
        extra = {name: amount for name, amount in self.resources().items() if name not in ("CPU", "GPU", "memory")}
        options = {
            "address": "local",
            "num_cpus": cpus,
            "resources": {name: amount * cpus for name, amount in extra.items()} or None,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE,
            "_node_ip_address": "127.0.0.1",
            "_temp_dir": self.folder.path,
        }
        try:
            context = await self.blocking(STARTING, self.init, options)
        except asyncio.TimeoutError:
            raise Failure("unreachable", "a local Ray instance did not start within %g seconds" % STARTING)
        except OSError as error:
            raise Failure("full" if error.errno == 28 else "unreachable", "a local Ray instance did not start: %s" % error)
        except Exception as error:
            raise Failure("unreachable", "a local Ray instance did not start: %s" % in_words(error))
        self.address = context.address_info["address"]
        await self.watch_over(*self.parts(self.address))

    def stay_on_loopback(self):
        """Has Ray take this machine for 127.0.0.1. A variable that it reads when it is imported; and there it keeps it."""
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if self.ray is not None:
            self.ray._private.ray_constants.ENABLE_RAY_CLUSTER = False

    def init(self, options):
        return self.ray.init(log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=False, **options)

    def find_address(self):
        """None for a local instance."""
        address = self.one("address") or os.environ.get("RAY_ADDRESS") or "auto"
        if address == "local":
            if self.one("otherwise"):
                return None
            raise Failure("unreachable", "`local` is no address of a Ray cluster; a local instance is `Ray::local`")
        return address

    async def join(self, address):
        self.is_client = address.startswith("ray://")
        host, port = self.parts(address)
        await self.watch_over(host, port)
        if not self.is_client and is_loopback(host):
            # Ray would put this machine's other address in its place, where a head that is on loopback is not.
            if not await self.is_elsewhere(port):
                self.stay_on_loopback()
        self.address = address
        if self.ray is None:
            self.load()
        try:
            await self.blocking(2 * UNANSWERED, self.greet_server if self.is_client else self.greet_head, "%s:%d" % (host, port))
            await self.blocking(UNFINISHED_CLIENT if self.is_client else UNFINISHED, self.init, {"address": address})
        except Failure:
            raise
        except asyncio.TimeoutError:
            raise Failure("unreachable", "what answers at %s does not let us in within the time that a Ray cluster takes; %s"
                          % (address, self.hint()))
        except Exception as error:
            raise self.refused(address, error)
        if self.is_client:
            await self.watch_head()

    # Ray itself asks again and again where it cannot be let in, for up to a minute. So what it will be told is asked for before.

    def greet_head(self, address):
        """Whether this is a head, and not another part of Ray; and whether this machine is a node of its cluster."""
        try:
            from ray._raylet import GcsClient
        except ImportError:
            return  # As for all that is not as expected: Ray will tell.
        try:
            client = GcsClient(address=address)
        except Exception as error:
            self.no_such_part(address, getattr(error, "rpc_code", None))
            raise
        try:
            from ray._private.services import find_node_ids

            here = {bytes.fromhex(node) for node in find_node_ids()}
            nodes = client.get_all_node_info(timeout=UNANSWERED)
            is_here = not nodes or any(node.binary() in here for node in nodes)
        except (ImportError, AttributeError, TypeError, ValueError):
            return
        if not is_here:
            raise Failure("unreachable", "this machine is no node of the Ray cluster at %s; have it join (`ray start --address=%s`), or "
                          "use the head's client server (`ray://host:10001`)" % (address, address))

    def greet_server(self, address):
        """Whether this is the server of clients."""
        try:
            import grpc
            from ray.core.generated import ray_client_pb2 as messages
            from ray.core.generated.ray_client_pb2_grpc import RayletDriverStub
        except ImportError:
            return
        try:
            from ray._private.grpc_utils import init_grpc_channel
        except ImportError:
            try:
                from ray._private.utils import init_grpc_channel
            except ImportError:
                return
        channel = init_grpc_channel(address, options=())
        try:
            ping = messages.ClusterInfoRequest(type=messages.ClusterInfoType.PING)
            RayletDriverStub(channel).ClusterInfo(ping, timeout=UNANSWERED)
        except grpc.RpcError as error:
            self.no_such_part(address, error.code().value[0])
            raise
        finally:
            channel.close()

    def no_such_part(self, address, code):
        if code == UNIMPLEMENTED:
            raise Failure("unreachable", "what answers at %s is a part of Ray, but not the one that this address is for; %s"
                          % (address, self.hint()))

    async def watch_head(self):
        """Behind a client's server there is the head; where that can be reached from here, its end is heard at once, too."""
        try:
            head = self.ray.get_runtime_context().gcs_address
            line = Line(*self.parts(head))
            await asyncio.wait_for(line.open(), 1)
        except Exception:
            return
        self.watching.append(asyncio.ensure_future(self.watch(line)))

    def refused(self, address, error):
        text = in_words(error)
        if "ersion mismatch" in text or "ersion mismatch" in in_words(error.__cause__):
            return Failure("version", "the cluster at %s is of another version than `%s`: %s; install the cluster's version of ray "
                           "there, or name another interpreter with `python` or POLYPOOL_PYTHON" % (address, sys.executable, text))
        if "uthenticat" in text or "token" in text:
            return Failure("key", "the cluster at %s does not let us in: %s; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or "
                           "RAY_AUTH_TOKEN_PATH" % (address, text))
        if isinstance(error, ImportError):
            return Failure("module", "`%s` cannot be a client of %s: %s; install `ray[client]` there" % (sys.executable, address, text))
        return Failure("unreachable", "the cluster at %s does not let us in: %s; %s" % (address, text, self.hint()))

    def hint(self):
        if self.is_client:
            return "`ray://` takes the port of the head's client server, 10001 where nobody chose another"
        return ("an address without `ray://` is the port of the head itself, 6379 where nobody chose another, and this machine has "
                "to be a node of the cluster; from elsewhere, use `ray://host:10001`")

    async def find_running(self):
        """The instance on this machine, as Ray finds it. None when there is none and one may be started."""
        self.load()
        try:
            from ray._private.services import canonicalize_bootstrap_address as find

            address = await self.blocking(UNANSWERED, find, "auto")
            if address is None:
                raise ConnectionError("none was started by `ray start`")
            return address
        except Exception as error:
            if self.one("otherwise"):
                return None
            raise Failure("unreachable", "no running Ray instance is known here (%s); start one with `ray start --head`, set "
                          "RAY_ADDRESS, or name an address" % in_words(error))

    def parts(self, address):
        rest = address[6:] if address.startswith("ray://") else address
        host, separator, port = rest.partition("?")[0].rstrip("/").rpartition(":")
        if not separator or not host or not port.isdigit() or not 0 < int(port) < 1 << 16 or "/" in host:
            raise Failure("unreachable", "`%s` is no address of a Ray cluster; it looks like `host:6379`, `ray://host:10001` or "
                          "`auto`" % address)
        return host.strip("[]"), int(port)

    async def is_elsewhere(self, port):
        """Whether the port is open at the address that Ray takes this machine to have."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("8.8.8.8", 53))  # Sends nothing; it is how Ray finds its own address.
                host = probe.getsockname()[0]
            except OSError:
                return False
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1)
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        return True

    async def watch_over(self, host, port):
        """Whether anybody is there who speaks as a head does; from now on it is heard at once when that ends."""
        line = Line(host, port)
        try:
            await asyncio.wait_for(line.open(), UNANSWERED)
        except asyncio.TimeoutError:
            raise Failure("unreachable", "nobody answers at %s:%d as the head of a Ray cluster does; is the address right, and the port "
                          "open?" % (host, port))
        except Strange:
            raise Failure("unreachable", "what answers at %s:%d does not speak as the head of a Ray cluster does; %s" % (host, port, self.hint()))
        except OSError as error:
            raise Failure("unreachable", "no Ray cluster at %s:%d: %s" % (host, port, os.strerror(error.errno) if (error.errno or 0) > 0 else error.strerror or error))
        self.watching.append(asyncio.ensure_future(self.watch(line)))

    async def watch(self, line):
        """Ray's driver would wait a minute for a head that has gone, and end the process then."""
        while await line.lasts():
            pass
        self.lost("the head of the Ray cluster at %s is gone" % self.address)

    def lost(self, text):
        if not self.is_over:
            self.is_over = True
            self.on_gone(text)

    def kill(self, actor):
        try:
            self.ray.kill(actor)
        except Exception as error:
            self.trouble("an actor cannot be killed, and stays as long as this program: %s" % in_words(error))

    def trouble(self, text):
        # When the head or the driver is gone, so are the actors.
        if not self.is_over:
            self.loop.call_soon_threadsafe(self.on_note, "the Ray cluster at %s: %s" % (self.address, text))

    # Nodes.

    async def nodes(self):
        """Those that are there, and may be chosen."""
        work = asyncio.get_running_loop().run_in_executor(self.errands, self.ray.nodes)
        nodes = [node for node in await asyncio.wait_for(work, HANGING) if node["Alive"]]
        names, labels = set(self.config.get("node", [])), pairs(self.config.get("label", []))
        if names:
            nodes = [node for node in nodes if names & {node["NodeID"], node["NodeManagerAddress"], node["NodeManagerHostname"]}]
        return [node for node in nodes if labels.items() <= node.get("Labels", {}).items()]

    def chooses(self):
        """Whether nodes are chosen here, and not by Ray."""
        return bool(self.config.get("node") or self.config.get("label"))

    def resources(self):
        found = {name: float(amount) for name, amount in pairs(self.config.get("resource", [])).items()}
        found.setdefault("CPU", 1.0)
        return found

    def room(self, node):
        """How many workers a node has room for, if nothing else is there."""
        needed = {name: amount for name, amount in self.resources().items() if amount > 0}
        has = node["Resources"]
        if "CPU" not in needed:
            # Takes none, but there would be no end to them.
            needed["CPU"] = 1.0
        return min(int(has.get(name, 0.0) / amount + 1e-6) for name, amount in needed.items())

    def count(self, nodes):
        return sum(map(self.room, nodes))

    def wishes(self):
        wishes = ["%s=%g" % pair for pair in self.resources().items()]
        return ", ".join(wishes + ["node=" + name for name in self.config.get("node", [])] + self.config.get("label", []))

    async def recount(self, slots):
        while True:
            await asyncio.sleep(RECOUNT)
            try:
                now = self.count(await self.nodes())
            except Exception as error:
                self.lost("the Ray cluster at %s is gone: %s" % (self.address, in_words(error)))
                return
            if now != slots:
                slots = now
                self.on_change(slots)

    # Slots.

    def prepare(self):
        """Names what runs in the cluster. It is told what to do as text, so that nothing has to be there."""

        class Polypool:
            def __init__(self, sources, order):
                space = {"__name__": "polypool_slot"}
                for name, source in sources:
                    exec(compile(source, name, "exec"), space)
                self.slot = space["Slot"](order)

            def node(self):
                import os
                import ray

                return ray.get_runtime_context().get_node_id(), os.uname().nodename

            def place(self):
                return self.slot.place()

            def write(self, piece):
                return self.slot.write(piece)

            def finish(self):
                return self.slot.finish()

            def push(self, number, data):
                return self.slot.push(number, data)

            def pull(self):
                return self.slot.pull()

            def release(self):
                return self.slot.release()

        def polypool_call(place, number, call, data):
            import os
            import socket
            import struct

            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as slot:
                slot.connect(place)
                peer = struct.unpack("3i", slot.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                if peer[1] != os.getuid():
                    raise PermissionError("the slot of this call is another user's")
                slot.sendall(struct.pack("<QQQ", number, call, len(data)))
                slot.sendall(data)

                def receive(length):
                    pieces = []
                    while length > 0:
                        piece = slot.recv(min(length, 1 << 20))
                        if not piece:
                            raise ConnectionError("the slot of this call is gone")
                        pieces.append(piece)
                        length -= len(piece)
                    return b"".join(pieces)

                place, length = struct.unpack("<qQ", receive(16))
                return place, receive(length)

        self.slot_class = self.ray.remote(Polypool)
        self.turn = self.ray.remote(polypool_call)

    def options(self):
        """The resources in Ray's words."""
        wanted = self.resources()
        options = {"num_cpus": wanted.pop("CPU"), "num_gpus": wanted.pop("GPU", None), "memory": wanted.pop("memory", None)}
        options["resources"] = {name: amount for name, amount in wanted.items() if amount > 0}
        return {name: value for name, value in options.items() if value is not None}

    def on_node(self, node):
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=False)

    async def choose(self):
        """The node that has most room left."""
        nodes = await self.nodes()
        if not nodes:
            raise Failure("place", "no node of the cluster at %s is what a worker asks for (%s)" % (self.address, self.wishes()))
        best = max(nodes, key=lambda node: self.room(node) - self.placed[node["NodeID"]])
        return best["NodeID"]

    async def hire(self, index, program, options):
        if self.is_over:
            raise Failure("gone", "the Ray cluster at %s is gone" % self.address)
        mode = options.get("mode", ["grouped"])[0]
        order = {
            "mode": mode,
            "hash": await program.hash(),
            "size": program.size,
            "path": program.path,
            "cache": self.one("cache_dir"),
            "env": {"POLYPOOL_WORKER": "agent", **dict(pair.split("=", 1) for pair in options.get("env", []))},
            "known": self.known,
        }
        wanted = {"num_cpus": 0} if mode == "per-task" else self.options()
        supervisor = Supervisor(self)
        if mode == "per-task" or self.chooses():
            supervisor.chosen = await self.choose()
            self.placed[supervisor.chosen] += 1
            wanted["scheduling_strategy"] = self.on_node(supervisor.chosen)
        sources = [(part, __loader__.get_source(part)) for part in ("polypool_slot", "polypool_ray_slot")]
        try:
            actor = self.slot_class.options(max_restarts=0, max_task_retries=0, max_concurrency=THREADS, **wanted)
            supervisor.actor = actor.remote(sources, order)
            await supervisor.begin(program)
            return supervisor
        except BaseException:
            await supervisor.release()
            raise

    async def close(self):
        self.is_over = True
        for task in self.watching:
            task.cancel()
        # A raylet without a head takes no part of it along when it is ended.
        parts = [] if self.folder is None else below(os.getpid())
        if self.ray is not None:
            try:
                await self.blocking(4, self.ray.shutdown)
            except Exception:
                pass  # They end with this process.
        end_all(parts)
        if self.folder is not None:
            self.folder.remove()


def is_loopback(host):
    return host in ("localhost", "::1") or host.startswith("127.")


def describe(node):
    has = {name: amount for name, amount in node["Resources"].items() if not name.startswith(("node:", "object_store"))}
    return "%s with %s" % (node["NodeManagerAddress"], ", ".join("%s=%g" % pair for pair in sorted(has.items())) or "nothing")


def pairs(texts):
    """`name=value`, as a dict."""
    return dict(text.rpartition("=")[::2] for text in texts)


def numbers(version):
    """A version as numbers, as far as it consists of them."""
    found = []
    for part in str(version).split(".")[:3]:
        digits = "".join(c for c in part if c.isdigit())
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)
