"""Checks of `slot.py`, which lies beside it when they are run."""

import itertools
import os
import socket
import struct
import sys
import tempfile
import threading

import slot


def frame(kind, payload):
    return slot.HEAD.pack(len(payload), kind) + payload


stream = [frame(1, b"begin"), frame(3, b"x" * 9), frame(4, b""), frame(2, b"\3" * 30), frame(3, b""), frame(3, b"y" * 200)]
whole = b"".join(stream)
# Each call with all that is behind it, up to the next.
wanted = [stream[0], stream[1] + stream[2] + stream[3], stream[4], stream[5]]
for step in itertools.chain(range(1, 40), [len(whole)]):
    frames, found = slot.Frames(slot.CALL), [b""]
    for at in range(0, len(whole), step):
        for data, begins in frames.cut(whole[at : at + step]):
            if begins:
                found.append(b"")
            found[-1] += data
    assert found == wanted, (step, found)
    assert frames.head == b""

# A turn is over when its reply was seen, and not before.
gate = slot.Gate()
first, second = gate.turn(1), gate.turn(2)
first.come()
assert first.came.done() and not second.came.done() and not first.over.done()
gate.saw(frame(21, b"output"))
assert not first.over.done()
reply = frame(slot.REPLY, b"z" * 50)
gate.saw(reply[:3])
gate.saw(reply[3:])
assert first.over.done() and not second.over.done()
gate.close()
assert second.over.done() and gate.turn(3).over.done()

# Of those who come for a program at once, one writes it.
with tempfile.TemporaryDirectory() as folder:
    content = os.urandom(100_000)
    source = os.path.join(folder, "source")
    with open(source, "wb") as file:
        file.write(content)
    cache, name, wrote = os.path.join(folder, "cache"), slot.hash_of(source), []

    def fetch():
        store = slot.Store(cache, name, len(content))
        try:
            if not store.enter():
                store.write(content)
                store.finish()
                wrote.append(1)
        finally:
            store.leave()

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrote) == 1 and os.listdir(cache) == [name], (wrote, os.listdir(cache))

    # What is damaged, or was never finished, goes.
    with open(os.path.join(cache, name), "ab") as file:
        file.write(b"!")
    open(os.path.join(cache, "other.part"), "w").close()
    fetch()
    assert len(wrote) == 2 and os.listdir(cache) == [name], os.listdir(cache)

# A program for another machine, one for another system, and one that may not be executed.
with tempfile.TemporaryDirectory() as folder:
    with open(sys.executable, "rb") as file:
        content = bytearray(file.read())
    program = os.path.join(folder, "program")

    def refused(content, mode):
        with open(program, "wb") as file:
            file.write(content)
        os.chmod(program, mode)
        inner, outer = socket.socketpair()
        try:
            slot.start(program, {}, inner).kill()
        except slot.Failure as failure:
            return failure
        finally:
            inner.close()
            outer.close()
        raise AssertionError("it was started")

    for machine, name in ((183, "aarch64"), (243, "riscv64"), (4242, "machine 4242")):
        content[18:20] = struct.pack("<H", machine)
        failure = refused(content, 0o700)
        assert failure.kind == "arch" and "it is built for %s;" % name in failure.text, failure
    failure = refused(b"MZ" + bytes(100), 0o700)
    assert failure.kind == "arch" and "another system" in failure.text, failure
    failure = refused(content, 0o600)
    assert failure.kind == "noexec" and "cache_dir" in failure.text, failure
