"""What runs on a node of Ray: the actor that holds a slot, and the agent in it.

Shipped as text, and run in one namespace behind `slot.py`, whose names it uses. An actor is a process of its own, with a thread
for each of its methods that is under way.
"""

import collections

# As much is taken from an agent at once.
GROUP = 4 << 20
# A call on its way from the task of Ray that is its turn: its place in the order, its number among calls, its length.
TURN = struct.Struct("<QQQ")
# What that task takes back: place in the order of what the agent says, length.
ANSWER = struct.Struct("<qQ")
NO_ANSWER = ANSWER.pack(-1, 0)
# Who holds a slot, and who runs a turn in it, are the same user on the same machine.
CREDENTIALS = struct.Struct("3i")


class Slot:
    """One agent on this node."""

    def __init__(self, order):
        self.order = order
        self.store = None
        self.agent = None
        self.turns = None
        self.next = 0
        self.ordered = threading.Condition()
        self.ending = threading.Lock()
        self.how = None

    # Starting. Each of these says what is wanted next.

    def place(self):
        """Looks for the program here."""
        remember(self.order["known"])
        path, size, content = self.order["path"], self.order["size"], self.order["hash"]
        if path and is_program(path, size, content) and os.access(path, os.X_OK):
            return self.start(path)
        try:
            self.store = Store(cache_folder(self.order["cache"]), content, size)
            if not self.store.enter():
                return ("need",)
        except Failure as failure:
            return self.refuse(failure)
        return self.leave()

    def write(self, piece):
        try:
            self.store.write(piece)
        except Failure as failure:
            return self.refuse(failure)
        return ("need",)

    def finish(self):
        try:
            self.store.finish()
        except Failure as failure:
            return self.refuse(failure)
        return self.leave()

    def leave(self):
        self.store.leave()
        return self.start(self.store.path)

    def refuse(self, failure):
        if self.store is not None:
            self.store.leave()
        return ("failed", failure.kind, failure.text)

    def start(self, path):
        try:
            self.agent = Agent(path, self.order["env"])
        except Failure as failure:
            return ("failed", failure.kind, failure.text)
        if self.order["mode"] == "per-task":
            self.turns = Turns(self)
        turns = self.turns and self.turns.name
        return ("started", self.agent.process.pid, turns, os.__dict__.get("_polypool_hashes", {}))

    # Carrying. Several of `push` may be under way; the numbers say in which order.

    def push(self, number, data):
        if self.come(number):
            try:
                self.agent.socket.sendall(data)
            except OSError:
                pass  # Why, `pull` tells.
            self.go(number)

    def come(self, number):
        """Waits for a place in the order. False when nothing goes any more."""
        with self.ordered:
            self.ordered.wait_for(lambda: self.next == number or self.how is not None)
            return self.how is None

    def go(self, number):
        with self.ordered:
            self.next = number + 1
            self.ordered.notify_all()

    def pull(self):
        """All that the agent has said, as its place in the order and bytes; waits for the first of it. When it is gone: how, as
        text."""
        said = self.read() if self.turns is None else self.turns.left_over()
        return said if said else self.end()

    def read(self):
        """All that is there, as bytes; waits for the first of it. Empty at the end."""
        pieces, size = [], 0
        while size < GROUP:
            try:
                piece = self.agent.socket.recv(GROUP - size, socket.MSG_DONTWAIT if pieces else 0)
            except OSError:
                break
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self):
        if self.agent is not None:
            self.end()
        elif self.store is not None:
            self.store.leave()

    def end(self):
        """Ends the agent; whoever comes first does it, the others wait. How it ended, as text."""
        try:
            # Closing alone would not wake who waits for bytes.
            self.agent.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        with self.ending:
            if self.how is None:
                how = self.agent.end()
                with self.ordered:
                    self.how = how
                    self.ordered.notify_all()
        return self.how


class Turns:
    """The per-task mode: calls come by tasks of Ray, which run in other processes of this node, and replies go back with them.
    What belongs to no call goes the other way, by `pull`; so all that goes back has its place in the order with it."""

    def __init__(self, slot):
        self.slot = slot
        # A name that is not in the file system, so that none stays there.
        self.name = "\0polypool-ray-%d-%s" % (os.getpid(), os.urandom(16).hex())
        self.waiting = {}
        self.said = 0
        self.others = collections.deque()
        self.lock = threading.Condition()
        self.is_over = False
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.name)
        self.listener.listen()
        for work in (self.admit, self.answer):
            threading.Thread(target=work, name="polypool-turns", daemon=True).start()

    def admit(self):
        while True:
            connection, _ = self.listener.accept()
            try:
                peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
                if CREDENTIALS.unpack(peer)[1] != os.getuid():
                    raise OSError("another user")
                number, call, length = TURN.unpack(receive(connection, TURN.size))
                data = receive(connection, length)
            except OSError:
                connection.close()
                continue
            if self.slot.next == number:
                self.pass_on(connection, number, call, data)
            else:
                # What goes before it may have to come in by this door.
                work = threading.Thread(target=self.pass_on, args=(connection, number, call, data), daemon=True)
                work.start()

    def pass_on(self, connection, number, call, data):
        """Gives a call to the agent."""
        if not self.slot.come(number):
            connection.close()
            return
        with self.lock:
            self.waiting[call] = connection
        try:
            self.slot.agent.socket.sendall(data)
        except OSError:
            pass  # Why, `pull` tells.
        self.slot.go(number)

    def answer(self):
        """Reads what the agent says, and lets a call's task of Ray go with the reply."""
        replies = Frames(REPLY)
        while True:
            said = self.slot.read()
            if not said:
                break
            # There is one for each call, in their order.
            count = sum(is_reply for _, is_reply in replies.cut(said))
            with self.lock:
                place, self.said = self.said, self.said + 1
                done = [self.waiting.pop(call) for call in sorted(self.waiting)[:count]]
                if not done:
                    self.others.append((place, said))
                    self.lock.notify_all()
            for connection in done:
                # The first takes all that there is.
                finish_turn(connection, ANSWER.pack(place, len(said)), said)
                said = b""
        with self.lock:
            self.is_over = True
            done, self.waiting = list(self.waiting.values()), {}
            self.lock.notify_all()
        for connection in done:
            finish_turn(connection)

    def left_over(self):
        with self.lock:
            self.lock.wait_for(lambda: self.others or self.is_over)
            return self.others.popleft() if self.others else None


def finish_turn(connection, *answer):
    """Lets a task of Ray go: with what the agent said, or with nothing."""
    with connection:
        try:
            connection.sendall(b"".join(answer) or NO_ANSWER)
        except OSError:
            pass  # The task was lost; its owner hears of that.


def receive(connection, length):
    data = bytearray()
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise OSError("the task of a call ended half-way")
        data += piece
    return bytes(data)


def remember(known):
    """What was looked at on this node before need not be read again: a file that has not changed since."""
    os.__dict__.setdefault("_polypool_hashes", {}).update(known.get(os.uname().nodename, {}))
