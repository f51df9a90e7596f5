"""The native client of Dask, for `dask.rs`: prints NAME=VALUE in lines. peer.py ADDRESS TASKS CALLS BYTES"""

import os
import sys
import time

from distributed import Client, get_worker


def nothing(n):
    return n


def touch(data):
    return len(data), get_worker().name


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(address, tasks, calls, size):
    client = Client(address, set_as_default=False)
    workers = list(client.scheduler_info(n_workers=-1)["workers"])
    warm = client.map(nothing, range(100), pure=False)
    client.gather(warm)
    print("map=%f" % (tasks / timed(lambda: client.gather(client.map(nothing, range(tasks), pure=False)))))
    submit = lambda: client.gather([client.submit(nothing, n, pure=False) for n in range(tasks)])
    print("submit=%f" % (tasks / timed(submit)))
    one = lambda: [client.submit(nothing, n, pure=False).result() for n in range(calls)]
    print("latency=%f" % (timed(one) / calls))
    data = os.urandom(size)

    def scatter():
        future = client.scatter(data, broadcast=True, direct=True, hash=False)
        client.gather([client.submit(touch, future, workers=[worker], pure=False) for worker in workers])

    print("scatter=%f" % timed(scatter))
    client.close()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
