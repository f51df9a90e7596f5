"""A Dask cluster on the loopback interface, as long as its standard input is open. It does what the lines there say, and answers
each with one."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

folder = tempfile.mkdtemp(prefix="polypool-test-dask-")
processes = []


def start(module, *arguments, env=None):
    log = open(os.path.join(folder, "log"), "ab")
    started = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + module, *arguments],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **(env or {})},
    )
    processes.append(started)
    return started


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return [int(child) for child in file.read().split()]


def workers():
    """How many are registered, and with how many threads."""
    from distributed.core import rpc
    import asyncio

    async def ask():
        async with rpc(address, timeout=20) as scheduler:
            identity = await scheduler.identity()
            return [worker["nthreads"] for worker in identity["workers"].values()]

    return asyncio.run(ask())


def until(done):
    while not done():
        time.sleep(0.02)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


free = socket.socket()
free.bind(("127.0.0.1", 0))
port = free.getsockname()[1]
free.close()
address = "tcp://127.0.0.1:%d" % port
scheduler = start(
    "dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0",
    "--scheduler-file", os.path.join(folder, "scheduler.json"),
)
until(lambda: listens(port))
print(address, flush=True)
named = {}
count = 0
for line in sys.stdin:
    verb, *rest = line.split()
    if verb == "worker":
        # worker NAME THREADS [VARIABLE=VALUE..] [--OPTION ..]
        name, threads, *more = rest
        count += 1
        env = dict(pair.split("=", 1) for pair in more if not pair.startswith("--"))
        options = [option.replace("=", " ", 1).split(" ") for option in more if option.startswith("--")]
        named[name] = start(
            "dask_worker", address, "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--name", name, "--nthreads",
            threads, "--local-directory", os.path.join(folder, name), *(word for option in options for word in option), env=env,
        )
        until(lambda: len(workers()) == count)
        print("ok", flush=True)
    elif verb == "kill-worker":
        # The worker itself, whom its nanny replaces.
        (worker,) = [pid for pid in children(named[rest[0]].pid) if b"spawn_main" in open("/proc/%d/cmdline" % pid, "rb").read()]
        os.kill(worker, signal.SIGKILL)
        print("ok", flush=True)
    elif verb == "leave":
        count -= 1
        named[rest[0]].terminate()
        named[rest[0]].wait()
        until(lambda: len(workers()) == count)
        print("ok", flush=True)
    elif verb == "kill-scheduler":
        scheduler.kill()
        scheduler.wait()
        print("ok", flush=True)
    elif verb == "folder":
        print(folder, flush=True)
    elif verb == "busy":
        # How many tasks, clients and agents are there still.
        from distributed.core import rpc
        import asyncio

        async def ask():
            async with rpc(address, timeout=20) as server:
                identity = await server.identity()
                tasks = sum(worker["metrics"].get("executing", 0) for worker in identity["workers"].values())
                return tasks

        print(asyncio.run(ask()), flush=True)
for process in reversed(processes):
    if process.poll() is None:
        process.terminate()
limit = time.monotonic() + 10
for process in processes:
    try:
        process.wait(max(0.1, limit - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
subprocess.run(["rm", "-rf", folder])
