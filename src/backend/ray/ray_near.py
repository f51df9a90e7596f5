"""The near end of a slot: an agent, as the bridge sees it, behind an actor of Ray. Knows no cluster but by its engine."""

import asyncio
import collections
import pickle

from polypool_slot import Failure

# Where nothing takes a slot for so long, one is told.
NOTED = 5.0
# So many pieces are on their way to an agent at once.
WINDOW = 4
# So many bytes are passed to Ray as they are.
MANY = 64 << 10
# How long an agent may take to put its worker away.
FAREWELL = 6.0


class Supervisor:
    def __init__(self, engine):
        self.engine = engine
        self.actor = None
        self.chosen = None
        self.node = None
        self.turns = None
        self.number = 0
        self.under_way = collections.deque()
        self.turn = None
        self.calls = set()
        self.fetching = None
        self.early = {}
        self.expected = 0
        self.ready = None
        self.gone_because = None
        self.is_released = False

    async def begin(self, program):
        """Waits for the slot, brings the program if it is not there, and has the agent started."""
        try:
            self.node, name = await self.located()
            answer = await self.ask(self.actor.place)
            if answer[0] == "need":
                for piece in program.pieces():
                    answer = await self.ask(self.actor.write, piece)
                    if answer[0] == "failed":
                        break
                else:
                    answer = await self.ask(self.actor.finish)
        except Failure:
            raise
        except Exception as error:
            raise Failure("place", "the actor that holds a slot of Ray was lost while an agent was started: %s" % in_words(error))
        if answer[0] == "failed":
            raise Failure(answer[1], answer[2])
        _, _, self.turns, files = answer
        self.engine.known.setdefault(name, {}).update(files)
        if self.turns is not None:
            engine = self.engine
            self.turn = engine.turn.options(
                max_retries=0, name="polypool call", scheduling_strategy=engine.on_node(self.node), **engine.options()
            )
            self.ready = asyncio.Queue()
            self.fetching = asyncio.ensure_future(self.fetch())

    async def located(self):
        waiting = asyncio.ensure_future(self.ask(self.actor.node))
        try:
            done, _ = await asyncio.wait([waiting], timeout=NOTED)
            if not done:
                self.engine.on_note("the Ray cluster at %s has had no slot for a worker for %g seconds: others hold what it asks for (%s)"
                                    % (self.engine.address, NOTED, self.engine.wishes()))
            return await waiting
        finally:
            waiting.cancel()

    async def ask(self, method, *args):
        return await method.remote(*args)

    async def push(self, data):
        number, self.number = self.number, self.number + 1
        self.under_way.append(asyncio.ensure_future(self.deliver(number, data)))
        while len(self.under_way) >= WINDOW:
            await asyncio.shield(self.under_way[0])
            self.under_way.popleft()

    async def deliver(self, number, data):
        try:
            await self.actor.push.remote(number, parcel(data))
        except Exception:
            pass  # Why, `pull` tells.

    async def call(self, data, call):
        """A task of Ray for the call, which is as long as it. It goes to the agent's node, and once."""
        number, self.number = self.number, self.number + 1
        waiting = asyncio.ensure_future(self.follow(self.turn.remote(self.turns, number, call, parcel(data))))
        self.calls.add(waiting)
        waiting.add_done_callback(self.calls.discard)

    async def follow(self, call):
        try:
            place, said = await call
            if said:
                self.put(place, said)
        except Exception as error:
            self.end("the task of Ray for a call failed: %s" % in_words(error))

    # In the per-task mode bytes come back on two ways, so they are put in order.

    def put(self, place, said):
        self.early[place] = said
        while self.expected in self.early:
            self.ready.put_nowait(self.early.pop(self.expected))
            self.expected += 1

    def end(self, text):
        if self.gone_because is None:
            self.gone_because = text
        self.ready.put_nowait(b"")

    async def fetch(self):
        """Brings what belongs to no call."""
        while True:
            said = await self.take()
            if isinstance(said, str):
                return self.end(said)
            self.put(*said)

    async def take(self):
        try:
            return await self.ask(self.actor.pull)
        except Exception as error:
            return "the actor of Ray that held its slot is gone: %s" % in_words(error)

    async def pull(self):
        if self.fetching is not None:
            return await self.ready.get()
        said = await self.take()
        if isinstance(said, bytes):
            return said
        self.gone_because = said
        return b""

    async def release(self):
        if self.is_released:
            return
        self.is_released = True
        if self.chosen is not None:
            self.engine.placed[self.chosen] -= 1
        if self.fetching is not None:
            self.fetching.cancel()
        if self.actor is None:
            return
        engine = self.engine
        try:
            # Gently first: the agent puts its worker away, and what that started.
            if self.node is not None:
                await asyncio.wait_for(self.ask(self.actor.release), FAREWELL)
        except asyncio.TimeoutError:
            engine.trouble("an agent has not ended within %g seconds, and its actor is killed" % FAREWELL)
        except engine.ray.exceptions.RayActorError:
            pass  # So it has ended.
        except Exception as error:
            engine.trouble("an actor cannot be told to go, and is killed: %s" % in_words(error))
        finally:
            # A head that is not there is not waited for.
            engine.errands.submit(engine.kill, self.actor)


def parcel(data):
    """Bytes for a task of Ray, which Ray does not walk through and copy when they are many."""
    return pickle.PickleBuffer(data) if len(data) >= MANY else data


def in_words(error):
    if error is None:
        return ""
    text = " ".join(str(error).split())
    return "%s: %s" % (type(error).__name__, text[:500]) if text else type(error).__name__
