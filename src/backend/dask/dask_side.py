"""Dask, as the bridge sees it: a client of a scheduler, and agents in slots of its workers.

A slot is a task of Dask that lasts as long as the agent: so the scheduler places it, and sees its thread and its resources as
taken. Bytes go by a comm of their own from here to the worker, through no task. In the per-task mode the first task only
places the agent, and each call has a task of its own.
"""

import asyncio
import json
import os
import pickle
import shutil
import sys
import tempfile
import uuid
import warnings

from polypool_slot import Failure

# The oldest version of `distributed` that is known to work.
OLDEST = (2024, 1, 0)
# An address where nobody answers.
UNANSWERED = 4.0
# Workers come and go in groups.
SETTLED = 0.1
# How often is looked whether the scheduler is there, and how many slots there are if nobody says so.
GLANCE = 0.1
RECOUNT = 5.0
# Where nothing takes a slot for so long, one is told.
NOTED = 5.0

# What a task runs. Text, so that nothing depends on the other's version of Python; in a namespace of its own.
ENTER = """
import pickle
order = pickle.loads(blob)
space = {"__name__": "polypool_slot"}
for name, source in order.pop("sources"):
    exec(compile(source, name, "exec"), space)
space["main"](order)
"""
SOURCES = ("polypool_slot", "polypool_dask_stream", "polypool_dask_slot")
TURN = "__import__('distributed').get_worker()._polypool_slots[slot].turn(number)"


class Engine:
    def __init__(self, config):
        self.config = config
        self.on_change = self.on_gone = self.on_note = lambda _: None
        self.client = None
        self.cluster = None
        self.folder = None
        self.address = None
        self.watching = []
        self.announced = {}
        self.changed = asyncio.Event()
        self.is_over = False
        self.distributed = None

    def one(self, name, default=None):
        return self.config.get(name, [default])[0]

    # Connecting.

    async def connect(self):
        self.load()
        self.address = None if self.one("local") else self.find_address()
        if self.address is None:
            await self.start_local(int(self.one("local") or self.one("else_local")))
        else:
            await self.probe()
        try:
            with warnings.catch_warnings():
                # We tell of versions that do not fit in words of our own.
                warnings.simplefilter("ignore")
                self.client = self.distributed.Client(
                    self.address, asynchronous=True, set_as_default=False, direct_to_workers=True, name="polypool", timeout=UNANSWERED
                )
                await self.client
        except (OSError, asyncio.TimeoutError) as error:
            raise Failure("unreachable", "the scheduler at %s does not let us in: %s" % (self.address, error))
        self.client.subscribe_topic("polypool", self.heard)
        self.client.subscribe_topic("all", lambda _: self.changed.set())
        slots = await self.count()
        self.watching = [asyncio.ensure_future(self.watch()), asyncio.ensure_future(self.recount(slots))]
        return {"slots": slots, "address": self.address, "version": self.distributed.__version__}

    def load(self):
        try:
            import distributed
            import distributed.comm
        except ImportError as error:
            raise Failure("module", "the Python interpreter `%s` has no usable `distributed` (%s); install it there "
                          "(`pip install distributed`), or name another interpreter with `python` or POLYPOOL_PYTHON"
                          % (sys.executable, error))
        self.distributed = distributed
        if numbers(distributed.__version__) < OLDEST:
            raise Failure("version", "distributed %s of `%s` is too old; %s and later are supported"
                          % (distributed.__version__, sys.executable, text_of(OLDEST)))

    def find_address(self):
        import dask.config

        address = self.one("address")
        file = self.one("scheduler_file")
        if not address and not file:
            # Also what DASK_SCHEDULER_ADDRESS and DASK_SCHEDULER_FILE say.
            address = dask.config.get("scheduler-address", None) or dask.config.get("scheduler_address", None)
            file = dask.config.get("scheduler-file", None) or dask.config.get("scheduler_file", None)
        if not address and file:
            try:
                with open(file) as opened:
                    address = json.load(opened)["address"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise Failure("unreachable", "the scheduler file `%s` cannot be used: %s; a scheduler writes it when it is "
                              "started with `--scheduler-file`" % (file, in_words(error)))
        if not address and self.one("else_local"):
            return None
        if not address:
            raise Failure("unreachable", "no scheduler is known; set DASK_SCHEDULER_ADDRESS or DASK_SCHEDULER_FILE, or name an "
                          "address")
        scheme, separator, rest = address.rpartition("://")
        if separator and scheme != "dask":
            return address
        return "tcp://" + rest

    async def probe(self):
        """Whether there is a scheduler, and one that speaks our version."""
        from distributed.core import rpc

        await self.knock()
        server = rpc(self.address, timeout=UNANSWERED, connection_args=self.connection_args())
        try:
            identity, versions = await asyncio.wait_for(ask(server), UNANSWERED)
        except Exception as error:
            # Whatever comes of bytes that mean something else: no memory for a message of their first eight, even.
            raise Failure("unreachable", "what answers at %s does not speak as a Dask scheduler does (%s); name the "
                          "scheduler's address, not that of its dashboard" % (self.address, in_words(error)))
        finally:
            await server.close_rpc()
        kind = identity.get("type") if isinstance(identity, dict) else None
        if kind != "Scheduler" and not (isinstance(identity, dict) and "workers" in identity):
            raise Failure("unreachable", "%s is the address of a Dask %s, not of a scheduler" % (self.address, kind or "something"))
        theirs = versions.get("packages", {}).get("distributed", "unknown") if isinstance(versions, dict) else "unknown"
        ours = self.distributed.__version__
        if numbers(theirs)[:2] != numbers(ours)[:2] or numbers(theirs) < OLDEST:
            raise Failure("version", "the scheduler at %s has distributed %s, and `%s` has %s; both must be of the same month, %s or "
                          "later: install `distributed==%s` there, or name another interpreter with `python`"
                          % (self.address, theirs, sys.executable, ours, text_of(OLDEST), theirs))

    async def knock(self):
        """Whether anybody is there, sooner and in clearer words than Dask would tell."""
        scheme, _, rest = self.address.partition("://")
        if scheme not in ("tcp", "tls"):
            return
        host, separator, port = rest.rpartition(":")
        if not separator or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise Failure("unreachable", "`%s` is no address of a scheduler; it looks like `tcp://host:8786`" % self.address)
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), UNANSWERED)
            writer.close()
        except asyncio.TimeoutError:
            raise Failure("unreachable", "nobody answers at %s; is the host right, and the port open?" % self.address)
        except OSError as error:
            reason = os.strerror(error.errno) if (error.errno or 0) > 0 else error.strerror or str(error)
            raise Failure("unreachable", "no scheduler answers at %s: %s; start one with `dask scheduler`, or correct the address"
                          % (self.address, reason))

    def connection_args(self):
        return self.distributed.Security().get_connection_args("client")

    async def start_local(self, workers):
        # Dask leaves a folder behind; this one goes.
        self.folder = tempfile.mkdtemp(prefix="polypool-dask-")
        cluster = self.distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            # Our tasks' memory is not that of Dask's processes.
            memory_limit=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            local_directory=self.folder,
            resources=self.resources() or None,
            asynchronous=True,
        )
        self.cluster = cluster
        await cluster
        self.address = cluster.scheduler_address

    # Slots.

    def resources(self):
        found = {}
        for pair in self.config.get("resource", []):
            name, _, amount = pair.rpartition("=")
            found[name] = float(amount)
        return found

    async def count(self):
        """How many agents the cluster has room for."""
        info = await self.client.scheduler.identity()
        wanted, needed = self.config.get("worker", []), self.resources()
        total = 0
        for address, worker in info["workers"].items():
            if wanted and not {address, address.partition("://")[2], str(worker.get("name")), worker.get("host")} & set(wanted):
                continue
            room = worker["nthreads"]
            for name, amount in needed.items():
                room = min(room, int(worker.get("resources", {}).get(name, 0) // amount) if amount else room)
            total += room
        return total

    async def recount(self, slots):
        while True:
            try:
                await asyncio.wait_for(self.changed.wait(), RECOUNT)
                await asyncio.sleep(SETTLED)
            except asyncio.TimeoutError:
                pass
            self.changed.clear()
            try:
                now = await self.count()
            except (OSError, AttributeError):
                continue  # The other watch sees to it.
            if now != slots:
                slots = now
                self.on_change(slots)

    async def watch(self):
        """Dask's client would try for long to reach a scheduler that has gone; here that is the end."""
        while self.client.status == "running":
            await asyncio.sleep(GLANCE)
        if not self.is_over:
            self.is_over = True
            self.on_gone("the scheduler at %s is gone" % self.address)
            for waiting in self.announced.values():
                if not waiting.done():
                    waiting.set_exception(Failure("gone", "the scheduler at %s is gone" % self.address))

    def heard(self, event):
        """A slot of somebody's has been taken."""
        waiting = self.announced.get(event[1].get("slot"))
        if waiting is not None and not waiting.done():
            waiting.set_result(event[1]["worker"])

    def restrictions(self):
        found = {"pure": False, "retries": 0, "priority": int(self.one("priority", 0))}
        if self.config.get("worker"):
            found.update(workers=self.config["worker"], allow_other_workers=False)
        if self.resources():
            found["resources"] = self.resources()
        return found

    async def hire(self, index, program, options):
        if self.is_over:
            raise Failure("gone", "the scheduler at %s is gone" % self.address)
        name = uuid.uuid4().hex
        mode = options.get("mode", ["grouped"])[0]
        order = {
            "sources": [(part, __loader__.get_source(part)) for part in SOURCES],
            "id": name,
            "key": "polypool-slot-" + name,
            "mode": mode,
            "holds": mode != "per-task",
            "hash": await program.hash(),
            "size": program.size,
            "path": program.path,
            "cache": self.one("cache_dir"),
            "env": dict(pair.split("=", 1) for pair in options.get("env", [])),
        }
        waiting = self.announced[name] = asyncio.get_running_loop().create_future()
        blob = pickle.dumps(order, protocol=4)
        task = self.client.submit(eval, "exec(code, space)", {"code": ENTER, "space": {"blob": blob}}, key=order["key"], **self.restrictions())
        supervisor = Supervisor(self, name, task)
        try:
            supervisor.address = await self.placed(waiting, task)
            await supervisor.attach(program)
            return supervisor
        except BaseException:
            await supervisor.release()
            raise
        finally:
            del self.announced[name]

    async def placed(self, waiting, task):
        """Waits for the slot."""
        ended = asyncio.ensure_future(task.exception())
        try:
            for patience in (NOTED, None):
                # The task that only places an agent may have ended by then.
                await asyncio.wait([waiting, ended], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    return waiting.result()
                if ended.done():
                    error = None if ended.cancelled() else ended.exception() or ended.result()
                    if error is not None:
                        raise Failure("place", "the task that brings an agent into a slot of Dask failed: %s" % in_words(error))
                    return await asyncio.wait_for(waiting, UNANSWERED)
                self.on_note("the scheduler at %s has had no slot for a worker for %g seconds: no worker is free, or none has what "
                             "`workers` and `resources` ask for" % (self.address, NOTED))
        finally:
            ended.cancel()

    async def close(self):
        self.is_over = True
        for task in self.watching:
            task.cancel()
        if self.client is not None:
            try:
                # Else the scheduler tells us of our own leaving, and complains that we are gone.
                for topic in ("polypool", "all"):
                    self.client.unsubscribe_topic(topic)
                await asyncio.wait_for(self.client.close(), 2)
            except Exception:
                pass
        if self.cluster is not None:
            try:
                await asyncio.wait_for(self.cluster.close(timeout=3), 4)
            except Exception:
                pass
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


class Supervisor:
    """The near end of a slot."""

    def __init__(self, engine, name, task):
        self.engine = engine
        self.name = name
        self.task = task
        self.address = None
        self.stream = None
        self.gone_because = None
        self.is_released = False
        self.calls = set()

    async def attach(self, program):
        """Comes for the slot: brings the program if it is not there, and waits until the agent was started."""
        from distributed.core import connect

        try:
            comm = await connect(self.address, timeout=UNANSWERED, **self.engine.connection_args())
        except (OSError, asyncio.TimeoutError):
            raise Failure("place", "the worker at %s cannot be reached from here; the pool's own machine must be able to connect "
                          "to the workers of the cluster" % self.address)
        from polypool_dask_stream import Stream

        self.stream = Stream(comm)
        try:
            await comm.write({"op": "polypool_stream", "slot": self.name, "reply": False})
            while True:
                message = await self.stream.receive()
                if message[0] == "need":
                    await self.send_program(program)
                elif message[0] == "failed":
                    raise Failure(message[1], message[2])
                elif message[0] == "started":
                    return
        except OSError as error:
            raise Failure("place", "the worker at %s was lost while an agent was started: %s" % (self.address, error))

    async def send_program(self, program):
        try:
            for piece in program.pieces():
                await self.stream.send_data("program", piece)
        except OSError:
            pass  # Why, is what it said before.

    async def push(self, data):
        await self.stream.send_data("data", data)

    async def call(self, data, number):
        """A task of Dask for the call, which is as long as it. It goes nowhere but to the agent's worker, and once."""
        self.calls = {task for task in self.calls if not task.done()}
        restrictions = {**self.engine.restrictions(), "workers": [self.address], "allow_other_workers": False}
        names = {"slot": self.name, "number": number}
        self.calls.add(self.engine.client.submit(eval, TURN, names, key="polypool-call-%s-%d" % (self.name, number), **restrictions))
        await self.stream.send_data("call", data, number)

    async def pull(self):
        try:
            message = await self.stream.receive()
        except OSError:
            return b""
        if message[0] != "data":
            self.gone_because = message[1]
            return b""
        await self.stream.took(message[1])
        return message[1]

    async def release(self):
        if self.is_released:
            return
        self.is_released = True
        if self.stream is not None:
            self.stream.close()
        # Else it might be run again somewhere, when its worker is lost.
        tasks, self.calls = [self.task, *self.calls], set()
        if self.engine.client.status == "running":
            await asyncio.wait_for(self.engine.client.cancel(tasks, asynchronous=True, force=True), 2)


def numbers(version):
    """A version as numbers, as far as it consists of them."""
    found = []
    for part in str(version).split(".")[:3]:
        digits = "".join(c for c in part if c.isdigit())
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)


def text_of(version):
    return ".".join(map(str, version))


def in_words(error):
    text = " ".join(str(error).split())
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


async def ask(server):
    return await server.identity(), await server.versions()
