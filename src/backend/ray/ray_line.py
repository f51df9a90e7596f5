"""The connection by which it is seen that Ray's head is there, and that what is at an address speaks as Ray does. Knows no Ray."""

import asyncio
import os
import socket
import struct

# An address where nobody answers.
UNANSWERED = 4.0
# A head that closed a connection is asked again for so long.
SECOND_LOOK = 0.3
# How an HTTP/2 connection begins, which is what Ray speaks; and the frames that matter for keeping it.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
FRAME = struct.Struct(">BHBBI")
SETTINGS, PING, ACK = 4, 6, 1


class Strange(Exception):
    """The other side does not speak HTTP/2."""


class Line:
    """A connection to the head which carries nothing and is kept, to hear at once when it breaks."""

    def __init__(self, host, port):
        self.host = host
        self.port = port
        self.reader = self.writer = None
        # With TLS nothing can be said without the certificates; that somebody is there is what can be known.
        self.is_silent = os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3)):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        if self.is_silent:
            return
        self.writer.write(PREFACE)
        try:
            kind, _, _ = await self.frame()
        except (asyncio.IncompleteReadError, OSError):
            raise Strange()
        if kind != SETTINGS:
            raise Strange()

    async def frame(self):
        high, low, kind, flags, _ = FRAME.unpack(await self.reader.readexactly(FRAME.size))
        length = high << 16 | low
        if length > 1 << 14:
            raise Strange()
        return kind, flags, await self.reader.readexactly(length)

    async def lasts(self):
        """Waits until it breaks. True when that was all, and the head is there."""
        try:
            while True:
                if self.is_silent:
                    if not await self.reader.read(1 << 14):
                        break
                    continue
                kind, flags, payload = await self.frame()
                if kind == PING and not flags & ACK:
                    self.writer.write(FRAME.pack(0, len(payload), PING, ACK, 0) + payload)
        except (asyncio.IncompleteReadError, OSError, Strange):
            pass
        self.writer.close()
        try:
            await asyncio.sleep(SECOND_LOOK)
            await asyncio.wait_for(self.open(), UNANSWERED)
            return True
        except (OSError, asyncio.TimeoutError, Strange):
            return False
