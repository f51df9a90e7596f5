"""A Dask cluster on the loopback interface, as long as its standard input is open. It does what the lines there say, and answers
each with one.

The scheduler and the workers, each with its nanny, are processes of their own, forked from this one, which has loaded Dask once.
"""

import asyncio
import ctypes
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time

import dask
import distributed
from distributed.core import rpc

dask.config.set({"distributed.worker.multiprocessing-method": "fork"})
folder = tempfile.mkdtemp(prefix="polypool-test-dask-")
processes = []


def start(serve):
    """Has a process do this."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            # It ends with this one, however that ends (PR_SET_PDEATHSIG).
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
            null, log = os.open(os.devnull, os.O_RDONLY), os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for fd, place in (null, 0), (log, 1), (log, 2):
                os.dup2(fd, place)
            asyncio.run(serve())
            code = 0
        finally:
            os._exit(code)
    processes.append(pid)
    return pid


async def until_told(server):
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    finished = asyncio.ensure_future(server.finished())
    await asyncio.wait([finished, asyncio.ensure_future(told.wait())], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait_for(server.close(), 10)


async def schedule():
    scheduler = distributed.Scheduler(host="127.0.0.1", port=port, dashboard_address="127.0.0.1:0")
    await scheduler
    with open(os.path.join(folder, "scheduler.json"), "w") as file:
        json.dump(scheduler.identity(), file)
    await until_told(scheduler)


async def work(name, threads, resources, env):
    os.environ.update(env)
    nanny = distributed.Nanny(
        address, host="127.0.0.1", name=name, nthreads=threads, resources=resources, memory_limit=0,
        dashboard_address="127.0.0.1:0", local_directory=os.path.join(folder, name),
    )
    await nanny
    await until_told(nanny)


def end(pid):
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    limit = time.monotonic() + 15
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > limit:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.01)
    processes.remove(pid)


def identity():
    async def ask():
        async with rpc(address, timeout=20) as scheduler:
            return await scheduler.identity()

    return asyncio.run(ask())


def until(done):
    while not done():
        time.sleep(0.02)


def listens():
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
address = "tcp://127.0.0.1:%d" % port
scheduler = start(schedule)
until(listens)
print(address, flush=True)
named = {}
for line in sys.stdin:
    verb, *rest = line.split()
    answer = "ok"
    if verb == "worker":
        # worker NAME THREADS [RESOURCE=AMOUNT | VARIABLE:VALUE ..]
        name, threads, *more = rest
        resources = {pair.split("=")[0]: float(pair.split("=")[1]) for pair in more if "=" in pair}
        env = dict(pair.split(":", 1) for pair in more if "=" not in pair)
        named[name] = start(lambda: work(name, int(threads), resources, env))
        until(lambda: name in [worker["name"] for worker in identity()["workers"].values()])
    elif verb == "kill-worker":
        # The worker itself, whom its nanny replaces.
        nanny = named[rest[0]]
        for thread in os.listdir("/proc/%d/task" % nanny):
            try:
                with open("/proc/%d/task/%s/children" % (nanny, thread)) as file:
                    for child in file.read().split():
                        os.kill(int(child), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass  # Threads come and go.
    elif verb == "leave":
        end(named[rest[0]])
        until(lambda: rest[0] not in [worker["name"] for worker in identity()["workers"].values()])
    elif verb == "kill-scheduler":
        os.kill(scheduler, signal.SIGKILL)
        until(lambda: not listens())
    elif verb == "address-of":
        answer = [place for place, worker in identity()["workers"].items() if worker["name"] == rest[0]][0]
    elif verb == "file":
        answer = os.path.join(folder, "scheduler.json")
    elif verb == "tasks":
        # How many the workers execute.
        answer = sum(worker["metrics"].get("executing", 0) for worker in identity()["workers"].values())
    print(answer, flush=True)
for pid in reversed(list(processes)):
    end(pid)
shutil.rmtree(folder, ignore_errors=True)
