"""Messages over a comm of Dask, with a bound on what is under way each way. Used by both ends: text in a worker, a module in
the bridge. Knows no agent.
"""

import asyncio
import collections

from distributed.protocol import to_serialize

# As many bytes may be under way that nobody has taken yet; this often what was taken is told.
WINDOW = 16 << 20
TOLD = 1 << 20
# What is shorter is packed with the rest of its message; the longer goes as it is, without a copy.
SHORT = 1 << 15


class Stream:
    """A comm that is read all the time, so that one way cannot stop the other."""

    def __init__(self, comm):
        self.comm = comm
        self.free = WINDOW
        self.room = asyncio.Event()
        self.inbox = collections.deque()
        self.arrived = asyncio.Event()
        self.taken = 0
        self.turn = asyncio.Lock()
        self.is_closed = False
        self.reader = asyncio.ensure_future(self.read())

    async def read(self):
        try:
            while True:
                message = await self.comm.read()
                if message[0] == "took":
                    self.free += message[1]
                    self.room.set()
                else:
                    self.inbox.append(message)
                    self.arrived.set()
        except OSError:
            pass
        finally:
            self.is_closed = True
            self.room.set()
            self.arrived.set()

    async def send(self, *message):
        async with self.turn:
            await self.comm.write(message)

    async def send_data(self, verb, data, *more):
        """Sends bytes when there is room for them."""
        while self.free <= 0 and not self.is_closed:
            self.room.clear()
            await self.room.wait()
        if self.is_closed:
            raise ConnectionError("the other end is gone")
        self.free -= len(data)
        await self.send(verb, data if len(data) < SHORT else to_serialize(data), *more)

    async def took(self, data):
        """The data that arrived has been passed on."""
        self.taken += len(data)
        if self.taken >= TOLD:
            taken, self.taken = self.taken, 0
            await self.send("took", taken)

    async def receive(self):
        """The next message. Raises `OSError` at the end."""
        while not self.inbox:
            if self.is_closed:
                raise ConnectionError("the other end is gone")
            self.arrived.clear()
            await self.arrived.wait()
        return self.inbox.popleft()

    async def part(self, limit):
        """Waits until the other end has heard everything and leaves, so that what it was told last is not lost."""
        try:
            await asyncio.wait_for(asyncio.shield(self.reader), limit)
        except (asyncio.TimeoutError, asyncio.CancelledError):
            pass

    def close(self):
        self.reader.cancel()
        self.comm.abort()
