"""What `mpi4py.futures` does, for `mpi.rs`: prints NAME=VALUE in lines. mpiexec -n 3 python -m mpi4py.futures peer.py TASKS CALLS BYTES"""

import os
import sys
import time

from mpi4py.futures import MPIPoolExecutor


def nothing(n):
    return n


def same(data):
    return data


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def seconds(pid):
    with open("/proc/%s/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_rank(pid):
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as file:
            words = file.read().split(b"\0")
        return b"python" in words[0] and os.fsencode(__file__) in words
    except OSError:
        return False


def idle():
    pids = [pid for pid in os.listdir("/proc") if pid.isdigit() and is_rank(pid)]
    before = [seconds(pid) for pid in pids]
    took = timed(lambda: time.sleep(2))
    return max(seconds(pid) - used for pid, used in zip(pids, before)) / took


def main(tasks, calls, size):
    with MPIPoolExecutor() as pool:
        list(pool.map(nothing, range(100)))
        print("map=%f" % (tasks / timed(lambda: list(pool.map(nothing, range(tasks))))))
        submit = lambda: [future.result() for future in [pool.submit(nothing, n) for n in range(tasks)]]
        print("submit=%f" % (tasks / timed(submit)))
        print("latency=%f" % (timed(lambda: [pool.submit(nothing, n).result() for n in range(calls)]) / calls))
        data = bytes(size)
        print("100 MB=%f" % timed(lambda: pool.submit(same, data).result()))
        time.sleep(0.5)
        print("idle=%f" % idle())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
