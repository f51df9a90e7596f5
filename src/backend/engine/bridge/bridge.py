"""Stands between a pool and an engine that speaks Python: carries bytes from the pool's sockets to agents in the engine's slots.

One process of asyncio. A socket to the pool brings orders and descriptors; when that ends, so does everything here. What an
engine is, its own module knows, with two classes:

    class Engine:
        def __init__(self, config): ...               # a dict of lists of texts
        async def connect(self) -> dict               # {"slots": how many or None, "address": text, "version": text}
        async def hire(self, index, program, options) -> Supervisor
        async def close(self)                         # also what it started itself
        on_change, on_gone, on_note                   # set by the bridge: callbacks with slots, text, text

    class Supervisor:                                 # an agent in a slot
        async def push(self, data)                    # bytes for the agent, in order; returns when more may be given
        async def pull(self) -> bytes                 # waits for bytes from the agent; b"" when it is gone
        async def call(self, data, number)            # `push` in the turn of a task of the engine that lasts until the reply
        async def release(self)                       # ends it; may be called at any time, and twice
        gone_because                                  # text or None
"""

import asyncio
import collections
import hashlib
import importlib
import os
import socket
import struct
import sys
import traceback

from polypool_slot import CALL, PIECE, Failure, Frames

LENGTH = struct.Struct("<I")
# As much is taken from a pool's socket, or from an agent, before it is passed on.
GROUP = 1 << 20
# So much more is read while the engine takes what it was given.
AHEAD = 8 << 20
# Of what fills a socket there is probably more. To an engine a large group costs what a small one does, so it is waited for, for so long.
BULK = 128 << 10
PAUSE = 0.001
# Orders are small.
LONGEST = 16 << 20
# What releasing all slots, and closing the engine, may take.
PATIENCE = 3.0
CLOSING = 5.0


class Program:
    """The program that agents run: this pool's own."""

    def __init__(self, fd, path):
        self.fd = fd
        self.path = path
        self.size = os.fstat(fd).st_size
        self._hash = None

    async def hash(self):
        """The sha256 of its content, computed once."""
        if self._hash is None:
            self._hash = asyncio.get_running_loop().run_in_executor(None, self._digest)
        return await asyncio.shield(self._hash)

    def _digest(self):
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    def pieces(self):
        """Its content, piece by piece."""
        at = 0
        while at < self.size:
            piece = os.pread(self.fd, PIECE, at)
            if not piece:
                raise Failure("program", "the program's file became shorter while it was read")
            at += len(piece)
            yield piece


class Control:
    """The socket to the pool. A message is its length, how many descriptors came with it, and texts, each with its length."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock = sock
        self.buffer = bytearray()
        self.fds = collections.deque()
        self.outgoing = asyncio.Queue()
        self.writer = asyncio.ensure_future(self.write())

    async def read(self):
        """The next message as (texts, descriptors), None when the pool is gone."""
        while True:
            if len(self.buffer) >= 4:
                (length,) = LENGTH.unpack_from(self.buffer)
                if length > LONGEST:
                    return None
                if len(self.buffer) >= 4 + length:
                    body = bytes(self.buffer[4 : 4 + length])
                    del self.buffer[: 4 + length]
                    fds = [self.fds.popleft() for _ in range(body[0])]
                    return fields(body[1:]), fds
            if not await self.receive():
                return None

    async def receive(self):
        loop = asyncio.get_running_loop()
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.sock, 1 << 16, 16)
                break
            except (BlockingIOError, InterruptedError):
                ready = loop.create_future()
                loop.add_reader(self.sock.fileno(), lambda ready=ready: ready.done() or ready.set_result(None))
                try:
                    await ready
                finally:
                    loop.remove_reader(self.sock.fileno())
            except OSError:
                return False
        self.fds.extend(fds)
        self.buffer += data
        return bool(data)

    def tell(self, *texts):
        body = b"\0"
        for text in texts:
            data = str(text).encode("utf-8", "replace")
            body += LENGTH.pack(len(data)) + data
        self.outgoing.put_nowait(LENGTH.pack(len(body)) + body)

    async def write(self):
        loop = asyncio.get_running_loop()
        while True:
            message = await self.outgoing.get()
            try:
                await loop.sock_sendall(self.sock, message)
            except OSError:
                pass  # Reading notices that the pool is gone.
            finally:
                self.outgoing.task_done()


def fields(body):
    texts, at = [], 0
    while at < len(body):
        (length,) = LENGTH.unpack_from(body, at)
        texts.append(body[at + 4 : at + 4 + length].decode("utf-8", "surrogateescape"))
        at += 4 + length
    return texts


def table(texts):
    """Names and values in turn, as a dict of lists."""
    found = {}
    for name, value in zip(texts[::2], texts[1::2]):
        found.setdefault(name, []).append(value)
    return found


class Bridge:
    def __init__(self, control, side):
        self.control = control
        self.side = side
        self.engine = None
        self.program = None
        self.hired = {}

    async def run(self):
        while True:
            message = await self.control.read()
            if message is None or message[0][0] == "close":
                break
            (verb, *rest), fds = message
            if verb == "connect":
                await self.connect(table(rest), fds)
            elif verb == "hire":
                number, index = int(rest[0]), int(rest[1])
                stream = socket.socket(fileno=fds[0]) if fds else None
                work = self.hire(number, index, table(rest[2:]), stream)
                self.hired[number] = asyncio.ensure_future(work)
            elif verb == "release":
                task = self.hired.get(int(rest[0]))
                if task is not None:
                    task.cancel()
        await self.over()

    async def connect(self, config, fds):
        """Nothing else is asked for before this is answered, but the pool may leave."""
        self.program = Program(fds[0], config.get("program", [""])[0])
        connecting = asyncio.ensure_future(self.really_connect(config))
        while not connecting.done():
            leaving = asyncio.ensure_future(self.control.receive())
            await asyncio.wait([connecting, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not leaving.done():
                leaving.cancel()
                await asyncio.wait([leaving])
            elif not leaving.result():
                connecting.cancel()
                await asyncio.wait([connecting])

    async def really_connect(self, config):
        try:
            self.engine = importlib.import_module(self.side).Engine(config)
            self.engine.on_change = lambda slots: self.control.tell("slots", "" if slots is None else slots)
            self.engine.on_gone = self.gone
            self.engine.on_note = lambda text: self.control.tell("note", text)
            found = await self.engine.connect()
        except asyncio.CancelledError:
            raise
        except Failure as failure:
            self.control.tell("refused", failure.kind, failure.text)
        except BaseException as error:
            self.control.tell("refused", "engine", in_words(error))
        else:
            slots = found.get("slots")
            self.control.tell("connected", "" if slots is None else slots, found["address"], found["version"])

    def gone(self, text):
        """The engine is lost. An agent that can be reached all the same would go on for nobody."""
        self.control.tell("gone", text)
        for task in self.hired.values():
            task.cancel()

    async def hire(self, number, index, options, stream):
        supervisor, reason = None, ""
        try:
            supervisor = await self.engine.hire(index, self.program, options)
            self.control.tell("hired", number)
            if stream is None:
                # It has its own channel to the pool; here only its end is heard.
                while await supervisor.pull():
                    pass
            else:
                await pump(stream, supervisor, options.get("mode") == ["per-task"])
        except asyncio.CancelledError:
            reason = "it was let go"
        except Failure as failure:
            reason = failure.text
            if supervisor is None:
                self.control.tell("failed", number, failure.kind, failure.text)
        except Exception as error:
            reason = in_words(error)
            if supervisor is None:
                self.control.tell("failed", number, "engine", in_words(error))
        finally:
            self.hired.pop(number, None)
            if supervisor is not None:
                self.control.tell("ended", number, supervisor.gone_because or reason)
            if stream is not None:
                stream.close()
            if supervisor is not None:
                try:
                    await supervisor.release()
                except Exception:
                    traceback.print_exc()

    async def over(self):
        """Lets all slots go, and the engine. Nothing that hangs there keeps this process."""
        tasks = list(self.hired.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE)
        if self.engine is not None:
            try:
                await asyncio.wait_for(self.engine.close(), CLOSING)
            except BaseException:
                traceback.print_exc()
        self.control.tell("closed")
        try:
            await asyncio.wait_for(self.control.outgoing.join(), 1)
        except asyncio.TimeoutError:
            pass


def in_words(error):
    text = str(error).strip()
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


async def pump(stream, supervisor, per_task):
    """Carries bytes both ways until one side is at its end."""
    stream.setblocking(False)
    up = asyncio.ensure_future(carry_up(stream, supervisor, per_task))
    down = asyncio.ensure_future(carry_down(stream, supervisor))
    try:
        await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (up, down):
            task.cancel()
        done = await asyncio.gather(up, down, return_exceptions=True)
    for result in done:
        if isinstance(result, Exception):
            raise result


async def carry_up(stream, supervisor, per_task):
    calls = Frames(CALL) if per_task else None
    number = 0
    ahead = Ahead(stream)
    try:
        while group := await ahead.group():
            if calls is None:
                await supervisor.push(group)
                continue
            for data, begins in calls.cut(group):
                if begins:
                    number += 1
                    await supervisor.call(data, number)
                else:
                    await supervisor.push(data)
    finally:
        ahead.reader.cancel()


class Ahead:
    """Reads a stream ahead of who passes it on, so that the groups are the larger the slower that is."""

    def __init__(self, stream):
        self.stream = stream
        self.pieces, self.size = [], 0
        self.has_come, self.has_room = asyncio.Event(), asyncio.Event()
        self.is_over = False
        self.reader = asyncio.ensure_future(self.read())

    async def read(self):
        while piece := await take(self.stream):
            self.pieces.append(piece)
            self.size += len(piece)
            self.has_come.set()
            while self.size >= AHEAD:
                self.has_room.clear()
                await self.has_room.wait()
        self.is_over = True
        self.has_come.set()

    async def group(self):
        """All that has come; waits for the first of it. Empty at the end."""
        while not self.pieces and not self.is_over:
            self.has_come.clear()
            await self.has_come.wait()
        before = 0
        while before < self.size and BULK <= self.size < AHEAD and not self.is_over:
            before = self.size
            await asyncio.sleep(PAUSE)
        pieces, self.pieces, self.size = self.pieces, [], 0
        self.has_room.set()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def carry_down(stream, supervisor):
    loop = asyncio.get_running_loop()
    while True:
        data = await supervisor.pull()
        if not data:
            return
        try:
            # Mostly there is room, and then there is nothing to wait for.
            sent = stream.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return
        if sent < len(data):
            try:
                await loop.sock_sendall(stream, memoryview(data)[sent:])
            except OSError:
                return


async def take(stream):
    """All that has come, up to a group; waits for the first of it. Empty at the end."""
    loop = asyncio.get_running_loop()
    try:
        first = await loop.sock_recv(stream, GROUP)
        if len(first) < 1 << 14:
            return first
        pieces, size = [first], len(first)
        while size < GROUP:
            try:
                piece = stream.recv(GROUP - size)
            except (BlockingIOError, InterruptedError):
                break
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces) if len(pieces) > 1 else first
    except OSError:
        return b""


def main(sock, side):
    """`side`: the module of the engine."""

    async def run():
        await Bridge(Control(sock), side).run()

    asyncio.run(run())
    # Threads of the engine's library are nobody's business now.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
