"""The native driver of Ray, for `ray.rs`: prints NAME=VALUE in lines. peer.py ADDRESS TASKS CALLS BYTES"""

import logging
import os
import sys
import time

# As the cluster of `ray.rs` is: on the loopback interface.
os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")
import ray
from ray.util import ActorPool


@ray.remote
def nothing(n):
    return n


@ray.remote
class Worker:
    def nothing(self, n):
        return n

    def touch(self, data):
        return len(data)


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(address, tasks, calls, size):
    ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    ray.get([nothing.remote(n) for n in range(100)])
    print("submit=%f" % (tasks / timed(lambda: ray.get([nothing.remote(n) for n in range(tasks)]))))
    one = lambda: [ray.get(nothing.remote(n)) for n in range(calls)]
    print("latency=%f" % (timed(one) / calls))
    workers = [Worker.remote() for _ in range(2)]
    pool = ActorPool(workers)
    list(pool.map(lambda worker, n: worker.nothing.remote(n), range(100)))
    print("map=%f" % (tasks / timed(lambda: list(pool.map(lambda worker, n: worker.nothing.remote(n), range(tasks))))))
    data = os.urandom(size)

    def scatter():
        there = ray.put(data)
        ray.get([worker.touch.remote(there) for worker in workers])

    print("scatter=%f" % timed(scatter))
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
