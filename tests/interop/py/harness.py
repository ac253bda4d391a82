"""What the scenarios of the Python client share: a mailbox per subscription, and a server of one's own for the
scenario that kills it."""

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import time

WAIT_S = 5.0  # for what must come
QUIET_S = 0.05  # for what must not come, behind a flush of both sides
START_S = 10.0


def must(condition, text):
    """Ends the scenario when the condition does not hold; unlike assert it stays on under -O."""
    if not condition:
        raise AssertionError(text)


async def until(condition, limit_s, what):
    """Waits until condition() holds."""
    give_up = time.monotonic() + limit_s
    while not condition():
        must(time.monotonic() < give_up, f"{what}: not within {limit_s} s")
        await asyncio.sleep(0.005)


async def settle(connection):
    """Returns when the server has taken all that was sent before. Flushing once is not enough here: nats.py writes
    the PING straight to the socket while SUB and PUB wait in its own buffer, so the first PONG may precede them."""
    await connection.flush()
    await connection.flush()


class Mailbox:
    """A subscription whose messages wait to be taken one by one."""

    def __init__(self):
        self.messages = []
        self.taken = 0
        self.subscription = None

    @classmethod
    async def open(cls, connection, subject, queue=""):
        mailbox = cls()

        async def keep(message):
            mailbox.messages.append(message)

        mailbox.subscription = await connection.subscribe(subject, queue=queue, cb=keep)
        return mailbox

    async def next(self):
        await until(lambda: len(self.messages) > self.taken, WAIT_S, "next message")
        self.taken += 1
        return self.messages[self.taken - 1]

    async def expect(self, subject, payload):
        message = await self.next()
        must(
            message.subject == subject and message.data == payload,
            f"got {message.data!r} on {message.subject}, expected {payload!r} on {subject}",
        )
        return message

    async def quiet(self):
        await asyncio.sleep(QUIET_S)
        must(len(self.messages) == self.taken, "a message came that should not")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


async def start_server(binary, port, more=()):
    """Starts the server and waits until it accepts."""
    words = [binary, "-a", "127.0.0.1", "-p", str(port)] + os.environ.get("MYELIN_FLAGS", "").split() + list(more)
    server = subprocess.Popen(words, preexec_fn=_die_with_parent)
    give_up = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server
        except OSError:
            if server.poll() is not None or time.monotonic() > give_up:
                kill_server(server)
                raise AssertionError(f"{binary} does not accept on port {port}") from None
            await asyncio.sleep(0.02)


def kill_server(server):
    """Ends it as a power cut would."""
    server.kill()
    server.wait()
