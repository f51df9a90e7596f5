"""What runs in a Dask worker: a task that holds a slot of it, and the stream between the agent there and the bridge.

Shipped as text, and run in one namespace behind `slot.py` and `stream.py`, whose names it uses. It is run anew for each agent, so that nothing
of one version of this is in the way of another; what must stay is kept by Dask's worker object.
"""

import asyncio

from distributed import get_worker

# A slot whose bridge does not come for it is given back.
UNCLAIMED = 20.0
# How often a slot looks whether its task, or its worker, is over.
GLANCE = 0.5
# As much is taken from an agent at once.
GROUP = 1 << 20
# Who was told the last thing has so long to leave.
PARTING = 2.0


class Slot:
    """One agent in this worker."""

    def __init__(self, worker, order):
        self.worker = worker
        self.order = order
        self.over = threading.Event()
        self.claimed = False
        self.gate = Gate() if order["mode"] == "per-task" else None
        self.born = time.monotonic()

    def hold(self):
        """Lasts as long as the agent, so that Dask sees the slot, and its resources, as taken."""
        while not self.over.wait(GLANCE):
            if self.is_unwanted():
                self.over.set()

    def is_unwanted(self):
        if not self.claimed and time.monotonic() > self.born + UNCLAIMED:
            return True
        if getattr(self.worker.status, "name", "") not in ("running", "paused", "init"):
            return True
        # A task that was cancelled, or that another worker was given, goes on here as a thread that nobody waits for.
        task = self.worker.state.tasks.get(self.order["key"])
        return task is None or task.state in ("cancelled", "released", "forgotten", "error")

    def turn(self, number):
        """The task of one call: it is the call's turn as long as this lasts, until the reply was seen."""
        turn = self.gate.turn(number)
        turn.come()
        turn.over.result()

    async def serve(self, comm):
        """Runs the agent for as long as the stream to the bridge is there."""
        self.claimed = True
        stream, agent, said = Stream(comm), None, None
        loop = asyncio.get_running_loop()
        try:
            try:
                path = await self.find(stream)
                agent = await loop.run_in_executor(None, Agent, path, self.order["env"])
            except Failure as failure:
                said = ("failed", failure.kind, failure.text)
                return
            await stream.send("started", agent.process.pid)
            await self.carry(stream, agent)
        except OSError:
            pass  # The bridge is gone.
        finally:
            if self.gate is not None:
                self.gate.close()
            if agent is not None:
                # Closing is at once; what follows may take its time, and takes it also when this is cancelled.
                agent.socket.close()
                ending = asyncio.ensure_future(loop.run_in_executor(None, agent.end))
                ending.add_done_callback(lambda _: self.over.set())
                said = ("gone", await asyncio.shield(ending))
            self.over.set()
            slots(self.worker).pop(self.order["id"], None)
            try:
                if said is not None and not stream.is_closed:
                    await stream.send(*said)
                    await stream.part(PARTING)
            except OSError:
                pass
            stream.close()

    async def find(self, stream):
        """The program's path here. It is fetched if it has to be."""
        loop = asyncio.get_running_loop()
        order = self.order
        size, content = order["size"], order["hash"]
        if order["path"] and await loop.run_in_executor(None, is_program, order["path"], size, content):
            if os.access(order["path"], os.X_OK):
                return order["path"]
        store = Store(cache_folder(order["cache"]), content, size)
        try:
            if not await loop.run_in_executor(None, store.enter):
                await stream.send("need")
                left = size
                while left > 0:
                    verb, piece = await stream.receive()
                    await loop.run_in_executor(None, store.write, piece)
                    await stream.took(piece)
                    left -= len(piece)
                await loop.run_in_executor(None, store.finish)
            return store.path
        finally:
            await loop.run_in_executor(None, store.leave)

    async def carry(self, stream, agent):
        tasks = [asyncio.ensure_future(work) for work in (self.carry_in(stream, agent), self.carry_out(stream, agent))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def carry_in(self, stream, agent):
        loop = asyncio.get_running_loop()
        agent.socket.setblocking(False)
        while True:
            message = await stream.receive()
            if message[0] == "call":
                await asyncio.wrap_future(self.gate.turn(message[2]).came)
            if message[0] in ("data", "call"):
                await loop.sock_sendall(agent.socket, message[1])
                await stream.took(message[1])

    async def carry_out(self, stream, agent):
        loop = asyncio.get_running_loop()
        agent.socket.setblocking(False)
        while True:
            data = await loop.sock_recv(agent.socket, GROUP)
            if not data:
                return
            if self.gate is not None:
                self.gate.saw(data)
            await stream.send_data("data", data)


def slots(worker):
    """The agents of a worker by their names; kept by the worker."""
    return worker.__dict__.setdefault("_polypool_slots", {})


def answer_for(worker):
    """What answers the bridge that comes for its slot. One per Dask worker, for all versions of this: it knows nothing else."""

    async def polypool_stream(comm, slot):
        found = slots(worker).get(slot)
        if found is not None and not found.claimed:
            await found.serve(comm)
        if not comm.closed():
            await comm.close()

    return polypool_stream


def main(order):
    """The task: takes the slot, says where it is, and holds it if it is to be held."""
    worker = get_worker()
    slot = Slot(worker, order)
    slots(worker)[order["id"]] = slot
    worker.handlers.setdefault("polypool_stream", answer_for(worker))
    worker.log_event("polypool", {"slot": order["id"], "worker": worker.address})
    if order["holds"]:
        slot.hold()
        if not slot.claimed:
            slots(worker).pop(order["id"], None)
    else:
        worker.loop.add_callback(worker.loop.call_later, UNCLAIMED, forget_unclaimed, worker, slot)


def forget_unclaimed(worker, slot):
    if not slot.claimed:
        slots(worker).pop(slot.order["id"], None)
