"""What a supervisor does in an engine's slot: it finds or stores the program, starts it as an agent, and sees to its end.

Needs nothing but Python's own library, and is shipped as text: the engine's workers have nothing of ours installed. Knows no
engine.
"""

import concurrent.futures
import errno
import fcntl
import hashlib
import os
import platform
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

# A piece of the program on its way to a node.
PIECE = 1 << 20

# An agent that heard the end of its stream has so long to put its worker away.
FAREWELL = 5.0

# A file that is being executed, or was just written by a process that forked, is busy for a moment.
BUSY = 5.0

# A program that nobody started for so long goes when another comes.
KEPT = 30 * 24 * 3600.0

# Frames are a length, a kind and as many bytes. Of these kinds are the first of a call and the first of a reply.
HEAD = struct.Struct("<IB")
CALL, REPLY = 3, 18


class Failure(Exception):
    """Why something did not work: a kind that programs tell apart, and a text for people."""

    def __init__(self, kind, text):
        super().__init__(kind, text)
        self.kind = kind
        self.text = text


def cache_folder(chosen):
    """Where programs are kept on this node."""
    if chosen:
        return chosen
    if os.environ.get("POLYPOOL_CACHE_DIR"):
        return os.environ["POLYPOOL_CACHE_DIR"]
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "polypool")


def hash_of(path):
    """The content hash of a file, or None if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while True:
                piece = file.read(PIECE)
                if not piece:
                    return digest.hexdigest()
                digest.update(piece)
    except OSError:
        return None


def is_program(path, size, content):
    """Whether the file is the program: whole, and not another that took its name."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    mark = (path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    if found.st_size != size:
        return False
    # Looked at once for each state of the file, not once for each agent; this text is run anew for each, so the memory is
    # a module's that stays.
    known = os.__dict__.setdefault("_polypool_hashes", {})
    if mark not in known:
        known[mark] = hash_of(path)
    return known[mark] == content


class Store:
    """The place of one program in the cache folder of this node. Whoever holds it may write there; others wait."""

    def __init__(self, folder, content, size):
        self.folder = folder
        self.content = content
        self.size = size
        self.path = os.path.join(folder, content)
        self.lock = None
        self.file = None

    def enter(self):
        """Waits for its turn. True when the program is there by then; else it has to be written."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            self.lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            is_alone = self.take_lock()
            if is_program(self.path, self.size, self.content):
                os.utime(self.path, ns=(time.time_ns(), os.stat(self.path).st_mtime_ns))
                return True
            if is_alone:
                self.tidy()
            self.file = open("%s.%s.%d.part" % (self.path, platform.node(), threading.get_native_id()), "wb")
            return False
        except OSError as error:
            raise self.refused(error)

    def take_lock(self):
        """Not every file system of a network has locks for folders. Without, two may write, each a file of its own."""
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            return True
        except OSError:
            return False

    def tidy(self):
        """Removes what was never finished, and what nobody has started for long."""
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            try:
                if name.endswith(".part") or os.stat(path).st_atime < time.time() - KEPT:
                    os.unlink(path)
            except OSError:
                pass

    def write(self, piece):
        try:
            self.file.write(piece)
        except OSError as error:
            raise self.refused(error)

    def finish(self):
        """Gives the program its name, now that it is whole."""
        try:
            self.file.flush()
            os.fchmod(self.file.fileno(), 0o755)
            self.file.close()
            if not is_program(self.file.name, self.size, self.content):
                raise Failure("program", "the program arrived damaged at %s" % where())
            os.rename(self.file.name, self.path)
            self.file = None
        except OSError as error:
            raise self.refused(error)

    def leave(self):
        """Lets the next one in. What is not whole is removed."""
        if self.file is not None:
            try:
                file, self.file = self.file, None
                os.unlink(file.name)
                file.close()
            except OSError:
                pass
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def refused(self, error):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Failure("full", "no room for the program (%d bytes) in `%s` at %s; make room, or name another folder with "
                           "`cache_dir` or POLYPOOL_CACHE_DIR" % (self.size, self.folder, where()))
        return Failure("cache", "the folder `%s` for the program cannot be used at %s: %s; name another with `cache_dir` or "
                       "POLYPOOL_CACHE_DIR" % (self.folder, where(), error.strerror))


def where():
    return platform.node() or "a worker"


class Agent:
    """A started agent: its process, and the socket to it."""

    def __init__(self, path, env):
        self.socket, inner = socket.socketpair()
        self.tail = b""
        try:
            self.process = start(path, env, inner)
        except BaseException:
            self.socket.close()
            raise
        finally:
            inner.close()
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            self.socket.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        self.listener = threading.Thread(target=self.listen, name="polypool-stderr", daemon=True)
        self.listener.start()

    def listen(self):
        """Passes on what it says to the log of the engine's worker, and keeps the last of it."""
        with self.process.stderr as pipe:
            while True:
                said = os.read(pipe.fileno(), 8192)
                if not said:
                    return
                self.tail = (self.tail + said)[-2048:]
                try:
                    sys.stderr.write(said.decode("utf-8", "replace"))
                    sys.stderr.flush()
                except (OSError, ValueError):
                    pass

    def end(self):
        """Tells it that it is over, and waits until it is. Returns how it ended, as text."""
        try:
            self.socket.close()
        except OSError:
            pass
        try:
            code = self.process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except OSError:
                self.process.kill()
            code = self.process.wait()
        # Its worker may have its standard error still.
        self.listener.join(0.1)
        how = "was ended by signal %d" % -code if code < 0 else "ended with code %d" % code
        said = self.tail.decode("utf-8", "replace").strip()
        return "the agent at %s %s%s" % (where(), how, ": " + said if said else "")


def start(path, env, inner):
    env = {**os.environ, "POLYPOOL_WORKER": "agent", **env}
    until = time.monotonic() + BUSY
    while True:
        try:
            return subprocess.Popen(
                [path], stdin=inner, stderr=subprocess.PIPE, bufsize=0, start_new_session=True, env=env
            )
        except OSError as error:
            if error.errno == errno.ETXTBSY and time.monotonic() < until:
                time.sleep(0.02)
                continue
            raise not_started(path, error)


def not_started(path, error):
    folder = os.path.dirname(path)
    if error.errno == errno.EACCES:
        return Failure("noexec", "`%s` may not be executed at %s: its file system is mounted noexec, or this user may not; name "
                       "another folder with `cache_dir` or POLYPOOL_CACHE_DIR" % (path, where()))
    if error.errno == errno.ENOEXEC:
        return Failure("arch", "%s (%s) cannot run this program: it is built for %s; build it for that machine, or choose workers "
                       "of its own kind with `workers`" % (where(), platform.machine(), machine_of(path)))
    if error.errno == errno.ENOENT and os.path.exists(path):
        return Failure("arch", "%s has no loader for this program; link it statically (musl), or against a C library that the "
                       "machine has" % where())
    return Failure("program", "`%s` in `%s` did not start at %s: %s" % (os.path.basename(path), folder, where(), error.strerror))


MACHINES = {3: "i686", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64", 21: "powerpc64", 22: "s390x"}


def machine_of(path):
    """The architecture that a program is for, as its head says."""
    try:
        with open(path, "rb") as file:
            head = file.read(20)
        order = ">" if head[5] == 2 else "<"
        number = struct.unpack(order + "H", head[18:20])[0]
        return MACHINES.get(number, "machine %d" % number) if head[:4] == b"\x7fELF" else "another system"
    except (OSError, IndexError, struct.error):
        return "another system"


class Frames:
    """Finds the frames of one kind in a stream of frames, whatever the pieces that it arrives in."""

    def __init__(self, kind):
        self.kind = kind
        self.head = b""
        self.rest = 0

    def cut(self, data):
        """Gives (bytes, whether such a frame begins with them) in order. All bytes come out but a head that is not whole, which
        waits for the rest."""
        data = self.head + data
        at = plain = 0
        begins = False
        while at < len(data):
            if self.rest:
                step = min(self.rest, len(data) - at)
                self.rest -= step
                at += step
                continue
            if len(data) - at < HEAD.size:
                break
            length, kind = HEAD.unpack_from(data, at)
            if kind == self.kind:
                if at > plain:
                    yield data[plain:at], begins
                plain, begins = at, True
            self.rest = length
            at += HEAD.size
        self.head = data[at:]
        if at > plain:
            yield data[plain:at], begins


class Turn:
    """One call's turn: when it has come, and when it is over. Both can be waited for in a thread and in a loop."""

    def __init__(self):
        self.came = concurrent.futures.Future()
        self.over = concurrent.futures.Future()

    def come(self):
        finish(self.came)

    def end(self):
        finish(self.came)
        finish(self.over)


def finish(future):
    try:
        future.set_result(None)
    except concurrent.futures.InvalidStateError:
        pass  # It was before.


class Gate:
    """Lets a call through to the agent when the engine has given it a turn, which it has until its reply was seen: the per-task
    mode. A worker has one call at a time; what comes behind one that has no turn yet waits with it, so that nothing overtakes."""

    def __init__(self):
        self.replies = Frames(REPLY)
        self.turns = {}
        self.lock = threading.Lock()
        self.is_closed = False

    def turn(self, number):
        """The turn of a call; the engine's task and the call itself come for it in any order."""
        with self.lock:
            turn = self.turns.setdefault(number, Turn())
            if self.is_closed:
                turn.end()
            return turn

    def saw(self, data):
        """Looks for replies in what the agent sends: there is one for each call, in their order."""
        for _, is_reply in self.replies.cut(data):
            if is_reply:
                with self.lock:
                    turn = self.turns.pop(min(self.turns, default=None), None)
                if turn is not None:
                    turn.end()

    def close(self):
        """Nothing more will come: nobody waits any longer."""
        with self.lock:
            self.is_closed = True
            turns = list(self.turns.values())
        for turn in turns:
            turn.end()
