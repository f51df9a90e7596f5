"""The peers of `processes.rs` that are written in Python.

peers.py prepare FOLDER                        makes an environment with requirements.txt, unless it is there
peers.py versions                              says what runs here
peers.py measure SCENARIO PEER PLACE [--quick] takes the figures once and prints NAME=VALUE in lines

The program that starts this has pinned it. Names, sizes and tasks are those of `scenarios.rs` and `work.rs`.
"""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

HERE = Path(__file__).resolve().parent
NS = 1e9


# ---- the environment


def prepare(folder):
    wanted = (HERE / "requirements.txt").read_text()
    done = folder / "requirements.done"
    if done.exists() and done.read_text() == wanted:
        return
    # What prints is not for tables.
    run = lambda *args: subprocess.run(args, check=True, stdout=sys.stderr)
    run(sys.executable, "-m", "venv", "--clear", str(folder))
    pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run(*pip, "--requirement", str(HERE / "requirements.txt"))
    done.write_text(wanted)


def versions():
    import joblib
    import loky

    print(f"Python {sys.version.split()[0]}, loky {loky.__version__}, joblib {joblib.__version__}")


# ---- where processes are


def children():
    found, todo = [], [os.getpid()]
    while todo:
        process = todo.pop()
        try:
            threads = os.listdir(f"/proc/{process}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                text = Path(f"/proc/{process}/task/{thread}/children").read_text()
            except OSError:
                continue
            found += map(int, text.split())
            todo += map(int, text.split())
    return found


def part(place):
    """Has workers and caller go where they are to be, if that is apart. To be called when the peer has started all it starts."""
    if place != "apart":
        return
    worker, caller = sorted(os.sched_getaffinity(0))
    for process, cpu in [(child, worker) for child in children()] + [(os.getpid(), caller)]:
        for thread in os.listdir(f"/proc/{process}/task"):
            os.sched_setaffinity(int(thread), {cpu})


# ---- what workers do


def trifle(n):
    return n


def echo(data):
    return data


def process(_):
    return os.getpid()


def sleep(milliseconds):
    time.sleep(milliseconds / 1000)
    return milliseconds


def busy(microseconds):
    end = time.perf_counter() + microseconds / 1e6
    while time.perf_counter() < end:
        pass
    return microseconds


def skewed(n):
    short = 100
    durations, at = [short] * n, 1
    for _ in range(n // 100):
        at = (at * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        durations[(at >> 33) % n] = 100 * short
    return durations


# ---- the peers


class Lost(Exception):
    """A result that never comes."""


class Futures:
    """`concurrent.futures`."""

    def __init__(self, workers):
        self.workers = workers
        self.pool = self.make()

    def make(self):
        from concurrent.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(self.workers)

    def submit(self, f, arg):
        return self.pool.submit(f, arg)

    def value(self, task):
        return task.result()

    def map_by(self, chunk, f, args):
        return list(self.pool.map(f, args, chunksize=chunk))

    def map(self, f, args):
        return list(self.pool.map(f, args))

    def repair(self):
        """After a worker was killed, as a user must."""
        self.close()
        self.pool = self.make()

    def close(self):
        self.pool.shutdown(wait=True)


class Loky(Futures):
    def make(self):
        from loky import ProcessPoolExecutor

        return ProcessPoolExecutor(self.workers)

    def close(self):
        self.pool.shutdown(wait=True, kill_workers=True)


class MpPool:
    """`multiprocessing.Pool`. The task of a worker that was killed never ends."""

    def __init__(self, workers):
        import multiprocessing

        self.make = lambda: multiprocessing.Pool(workers)
        self.pool = self.make()

    def submit(self, f, arg):
        return self.pool.apply_async(f, (arg,))

    def value(self, task):
        import multiprocessing

        try:
            # The longest task takes 50 ms, and a new worker comes within 100.
            return task.get(1)
        except multiprocessing.TimeoutError:
            raise Lost from None

    def map_by(self, chunk, f, args):
        return list(self.pool.imap_unordered(f, args, chunksize=chunk))

    def map(self, f, args):
        return self.pool.map(f, args)

    def repair(self):
        """It goes on by itself, unless the worker was killed with the queue's lock in its hand."""
        try:
            self.value(self.submit(trifle, 0))
        except Lost:
            self.close()
            self.pool = self.make()

    def close(self):
        self.pool.terminate()
        self.pool.join()


class Joblib:
    """It has no submit: everything is a `Parallel`."""

    def __init__(self, workers):
        import joblib

        # With one it would start no process.
        self.parallel = joblib.Parallel(n_jobs=max(2, workers))
        self.delayed = joblib.delayed
        self.joblib = joblib

    def run(self, f, args, **options):
        parallel = self.parallel
        if options:
            parallel = self.joblib.Parallel(n_jobs=2, **options)
        return list(parallel(self.delayed(f)(arg) for arg in args))

    def close(self):
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True, kill_workers=True)


PEERS = {"futures": Futures, "loky": Loky, "mp-pool": MpPool, "joblib": Joblib}


def warm(pool, workers):
    """Starts a pool's workers."""
    if isinstance(pool, Joblib):
        pool.run(sleep, [20] * 4 * workers)
        return pool
    for task in [pool.submit(sleep, 20) for _ in range(2 * workers)]:
        pool.value(task)
    return pool


# ---- scenarios


class Sizes:
    def __init__(self, quick):
        scale = 10 if quick else 1
        self.round_trips = 2_000 // scale
        self.tasks = 5_000 // scale
        self.items = 100_000 // scale
        self.repetitions = 1 if quick else 3
        self.echoed = (64 if quick else 512) << 20
        self.starts = 1 if quick else 5
        self.ballast = (64 if quick else 2048) << 20
        self.kills = 1 if quick else 5
        self.skewed = 200 if quick else 2_000


def one(pool, f, arg):
    return pool.run(f, [arg])[0] if isinstance(pool, Joblib) else pool.value(pool.submit(f, arg))


def round_trip(make, place, sizes):
    pool = warm(make(1), 1)
    part(place)
    # A `Parallel` for each is slower by far than the rest.
    n = sizes.round_trips // (10 if isinstance(pool, Joblib) else 1)
    took = []
    for i in range(n * 11 // 10):
        start = time.perf_counter()
        value = one(pool, trifle, i)
        took.append((time.perf_counter() - start) * NS)
        assert value == i
    took = sorted(took[n // 10 :])
    return {"median": took[len(took) // 2], "p99": took[len(took) * 99 // 100]}


def repeat(n, sizes, once):
    once(max(n // 10, 1))
    return statistics.median(once(n) for _ in range(sizes.repetitions))


def at_once(make, place, sizes):
    pool = warm(make(2), 2)
    submits = []

    def once(n):
        start = time.perf_counter()
        if isinstance(pool, Joblib):
            values = pool.run(trifle, range(n), pre_dispatch="all")
        else:
            tasks = [pool.submit(trifle, i) for i in range(n)]
            submits.append((time.perf_counter() - start) * NS / n)
            values = [pool.value(task) for task in tasks]
        took = time.perf_counter() - start
        assert values == list(range(n))
        return n / took

    figures = {"tasks": repeat(sizes.tasks, sizes, once)}
    if submits:
        figures["submit"] = statistics.median(submits[1:])
    return figures


def window(make, place, sizes):
    pool = warm(make(2), 2)

    def once(n):
        start = time.perf_counter()
        if isinstance(pool, Joblib):
            assert pool.run(trifle, range(n), pre_dispatch=64, batch_size=1) == list(range(n))
            return n / (time.perf_counter() - start)
        inputs = iter(range(n))
        tasks = deque(pool.submit(trifle, i) for _, i in zip(range(64), inputs))
        i = 0
        while tasks:
            assert pool.value(tasks.popleft()) == i
            i += 1
            for following in inputs:
                tasks.append(pool.submit(trifle, following))
                break
        return n / (time.perf_counter() - start)

    return {"tasks": repeat(sizes.tasks, sizes, once)}


def map_(make, place, sizes):
    pool = warm(make(2), 2)

    def timed(mapped):
        def once(n):
            start = time.perf_counter()
            values = mapped(range(n))
            took = time.perf_counter() - start
            assert sorted(values) == list(range(n))
            return took * NS / n

        return repeat(sizes.items, sizes, once)

    if isinstance(pool, Joblib):
        return {
            "by 1000": timed(lambda args: pool.run(trifle, args, batch_size=1000)),
            "as it is": timed(lambda args: pool.run(trifle, args)),
        }
    figures = {"by 1000": timed(lambda args: pool.map_by(1000, trifle, args))}
    # The others' way is one by one, which is `at-once`.
    if isinstance(pool, MpPool):
        figures["as it is"] = timed(lambda args: pool.map(trifle, args))
    return figures


def echo_of(size):
    def measure(make, place, sizes):
        pool = warm(make(1), 1)
        part(place)
        data = bytes(i % 251 for i in range(1 << 20)) * (size >> 20)
        first = data
        n = min(sizes.echoed // size, 200) // (4 if size > 1 << 20 else 1)
        took = []
        for i in range(max(n, 1) + 2):
            start = time.perf_counter()
            data = one(pool, echo, data)
            took.append((time.perf_counter() - start) * NS)
        assert data == first
        return {"echo": statistics.median(took[2:])}

    return measure


def timed_start(make, workers):
    start = time.perf_counter()
    pool = make(workers)
    answered = set()
    while len(answered) < workers:
        tasks = [pool.submit(process, None) for _ in range(workers)]
        answered.update(pool.value(task) for task in tasks)
    took = time.perf_counter() - start
    pool.close()
    return took * NS


def start(make, place, sizes):
    first = timed_start(make, 2)
    usual = lambda workers: statistics.median(timed_start(make, workers) for _ in range(sizes.starts))
    return {"2 workers, first": first, "2 workers": usual(2), "8 workers": usual(8)}


def start_heavy(make, place, sizes):
    timed_start(make, 2)
    usual = lambda: statistics.median(timed_start(make, 2) for _ in range(sizes.starts))
    light = usual()
    ballast = bytearray(b"\x01") * sizes.ballast
    heavy = usual()
    assert ballast[-1] == 1
    return {"light": light, "heavy": heavy, "heavy/light": heavy / light}


def kill_joblib(make, sizes):
    import threading

    errors, nexts, lost = [], [], 0
    for _ in range(sizes.kills):
        pool = warm(make(2), 2)
        victim = pool.run(process, range(8))[0]
        killed = []

        def strike():
            time.sleep(0.05)
            killed.append(time.perf_counter())
            os.kill(victim, signal.SIGKILL)

        thread = threading.Thread(target=strike)
        thread.start()
        try:
            # The one that is killed, one beside it, and a hundred that wait.
            pool.run(sleep, [200, 200] + [1] * 100, pre_dispatch="all", batch_size=1)
        except Exception:
            errors.append((time.perf_counter() - killed[0]) * NS)
            lost += 101
        thread.join()
        assert one(pool, trifle, 1) == 1
        nexts.append((time.perf_counter() - killed[0]) * NS)
    return {"error": statistics.median(errors), "next": statistics.median(nexts), "innocents lost": lost / sizes.kills}


def victim_of(pool):
    return one(pool, process, None)


def kill(make, place, sizes):
    if make is Joblib:
        return kill_joblib(make, sizes)
    errors, nexts, lost = [], [], 0
    pool = warm(make(1), 1)
    for i in range(sizes.kills):
        victim_process = victim_of(pool)
        victim = pool.submit(sleep, 100_000)
        queued = pool.submit(trifle, i)
        time.sleep(0.02)
        start = time.perf_counter()
        os.kill(victim_process, signal.SIGKILL)
        if not isinstance(pool, MpPool):
            try:
                pool.value(victim)
            except Exception:
                errors.append((time.perf_counter() - start) * NS)
        try:
            assert pool.value(queued) == i
        except Exception:
            lost += 1
            pool.repair()
            assert one(pool, trifle, i) == i
        nexts.append((time.perf_counter() - start) * NS)
    pool.close()
    pool = warm(make(2), 2)
    for _ in range(sizes.kills):
        victim_process = victim_of(pool)
        tasks = [pool.submit(sleep, 50), pool.submit(sleep, 50)]
        tasks += [pool.submit(trifle, n) for n in range(100)]
        time.sleep(0.02)
        os.kill(victim_process, signal.SIGKILL)
        failed = 0
        for task in reversed(tasks):
            try:
                pool.value(task)
            except Exception:
                failed += 1
        # One of them was killed by right.
        lost += max(failed - 1, 0)
        pool.repair()
        warm(pool, 2)
    figures = {"next": statistics.median(nexts), "innocents lost": lost / sizes.kills}
    if errors:
        figures["error"] = statistics.median(errors)
    return figures


def skew(make, place, sizes):
    pool = warm(make(2), 2)
    durations = skewed(sizes.skewed)
    ideal = sum(durations) / 2 / 1e6

    def timed(run):
        start = time.perf_counter()
        assert list(run()) == durations
        return (time.perf_counter() - start) / ideal

    if isinstance(pool, Joblib):
        return {"map": timed(lambda: pool.run(busy, durations))}
    each = lambda: [pool.value(task) for task in [pool.submit(busy, n) for n in durations]]
    return {"each": timed(each), "map": timed(lambda: pool.map(busy, durations))}


def descriptors(make, place, sizes):
    pool = warm(make(2), 2)
    count = lambda: len(os.listdir("/proc/self/fd"))
    before = count()
    tasks = [pool.submit(trifle, i) for i in range(10_000)]
    queued = count()
    for task in tasks:
        pool.value(task)
    return {"a task": (queued - before) / 10_000}


SCENARIOS = {
    "round-trip": round_trip,
    "at-once": at_once,
    "window": window,
    "map": map_,
    "echo1": echo_of(1 << 20),
    "echo64": echo_of(64 << 20),
    "start": start,
    "start-heavy": start_heavy,
    "kill": kill,
    "skew": skew,
    "descriptors": descriptors,
}


def end(code):
    sys.stdout.flush()
    for child in children():
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
    os._exit(code)


def hangs(*_):
    print(f"{' '.join(sys.argv[2:])}, hangs", file=sys.stderr)
    end(1)


def measure(scenario, peer, place, quick):
    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(120)
    try:
        for name, value in SCENARIOS[scenario](PEERS[peer], place, Sizes(quick)).items():
            print(f"{name}={value}")
    except BaseException as error:
        import traceback

        traceback.print_exception(error)
        end(1)
    # What a pool does when it is closed is nobody's figure.
    end(0)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", folder]:
            prepare(Path(folder))
        case ["versions"]:
            versions()
        case ["measure", scenario, peer, place, *rest]:
            measure(scenario, peer, place, "--quick" in rest)
        case _:
            sys.exit(__doc__)
