"""What is checked of NATS Streaming, by stan.py (asyncio-nats-streaming): the scenarios of `main.py --streaming`. Channels
are named after their scenario, so that all of them can use one server. Its packages are those of
requirements-streaming.txt, which cannot live beside those of requirements.txt."""

import asyncio
import shutil
import tempfile
import time

import nats.aio.client
import stan.aio.client
from stan.aio.errors import StanError

from harness import QUIET_S, START_S, WAIT_S, free_port, kill_server, must, start_server, until

CLUSTER = "test-cluster"
ASYNC_PUBLISHES = 500
GROUP_MEMBERS = 3
GROUP_MESSAGES = 60
REDELIVER_AFTER_S = 2
BEFORE_KILL = 40
AFTER_KILL = 20
RECONNECT_S = 15.0


class WithoutLoop:
    """asyncio as these clients knew it: since Python 3.10 its calls take no event loop any more."""

    def __init__(self, names):
        self._names = names

    def __getattr__(self, name):
        found = getattr(asyncio, name)
        if name not in self._names:
            return found

        def call(*words, loop=None, **named):
            return found(*words, **named)

        return call


nats.aio.client.asyncio = WithoutLoop({"Queue", "sleep", "wait_for", "open_connection"})
stan.aio.client.asyncio = nats.aio.client.asyncio


async def connect(run, client, **options):
    """A streaming connection on a connection of its own, which is closed whatever happens."""
    connection = nats.aio.client.Client()
    await connection.connect(run.url, loop=asyncio.get_running_loop(), **options)
    run.open.append(connection)
    streaming = stan.aio.client.Client()
    await streaming.connect(CLUSTER, client, nats=connection, ping_max_out=100)
    return streaming


async def store(client, channel, first, last):
    for number in range(first, last + 1):
        answer = await client.publish(channel, b"%d" % number, ack_wait=WAIT_S)
        must(answer.error == "", answer.error)


class Listener:
    """A subscription whose messages wait to be taken one by one. Acknowledgements are the caller's."""

    @classmethod
    async def open(cls, client, channel, **options):
        listener = cls()
        listener.client = client
        listener.messages = []
        listener.taken = 0

        async def keep(message):
            listener.messages.append(message)

        listener.subscription = await client.subscribe(channel, cb=keep, manual_acks=True, **options)
        return listener

    def waiting(self):
        return len(self.messages) - self.taken

    async def take(self):
        await until(self.waiting, WAIT_S, "next message")
        self.taken += 1
        return self.messages[self.taken - 1]

    async def ack(self, message):
        await self.client.ack(message)

    async def sequence(self, first, last):
        """Takes messages and compares their numbers and payloads, which are equal as store() writes them."""
        for number in range(first, last + 1):
            message = await self.take()
            must(
                message.seq == number and message.data == b"%d" % number and not message.proto.redelivered,
                f"got {message.seq} {message.data} (again: {message.proto.redelivered}), expected {number}",
            )
            await self.ack(message)

    async def silent(self):
        await asyncio.sleep(QUIET_S)
        must(self.waiting() == 0, "a message came that should not")


async def each(listeners, first, last):
    """Every number once over all listeners."""
    seen = set()
    while len(seen) < last - first + 1:
        await until(lambda: any(listener.waiting() for listener in listeners), WAIT_S, f"{len(seen)} came, the next")
        listener = next(listener for listener in listeners if listener.waiting())
        message = await listener.take()
        must(first <= message.seq <= last and message.seq not in seen, f"{message.seq} came")
        seen.add(message.seq)
        await listener.ack(message)
    for listener in listeners:
        await listener.silent()


async def refused(text, awaitable):
    try:
        await awaitable
    except StanError as error:
        must(str(error) == text, f"refused with {error}, expected {text}")
        return
    raise AssertionError(f"not refused; expected {text}")


async def publish(run):
    publisher, subscriber = await connect(run, "py-publisher"), await connect(run, "py-subscriber")
    listener = await Listener.open(subscriber, "py.publish")
    await store(publisher, "py.publish", 1, 3)
    acknowledged = []

    async def note(answer):
        acknowledged.append((answer.guid, answer.error))

    for number in range(4, 4 + ASYNC_PUBLISHES):
        await publisher.publish("py.publish", b"%d" % number, ack_handler=note)
    await until(lambda: len(acknowledged) == ASYNC_PUBLISHES, WAIT_S, "acknowledgements")
    must(len({guid for guid, _ in acknowledged}) == ASYNC_PUBLISHES, "an acknowledgement came twice")
    must(all(error == "" for _, error in acknowledged), "one was refused")
    await listener.sequence(1, 3 + ASYNC_PUBLISHES)
    answer = await publisher.publish("py.*", b"x", ack_wait=WAIT_S)
    must(answer.error == "stan: invalid publish request", f"a publish to a wildcard got {answer.error}")


async def start_positions(run):
    client = await connect(run, "py-positions")
    channel = "py.positions"
    await store(client, channel, 1, 6)
    rows = (  # this client rounds times down to seconds
        ({"start_at": "first"}, 1),
        ({"deliver_all_available": True}, 1),
        ({"start_at": "last_received"}, 6),
        ({"start_at": "sequence", "sequence": 3}, 3),
        ({"start_at": "time", "time": time.time() - 3600}, 1),
        ({"start_at": "time", "time": None}, 7),
        ({"start_at": "new_only"}, 7),
    )
    listeners = []
    for options, first in rows:
        if "time" in options:
            options["time"] = options["time"] or time.time()
        listener = await Listener.open(client, channel, **options)
        await listener.sequence(first, 6)
        listeners.append(listener)
    await store(client, channel, 7, 7)
    for listener in listeners:
        await listener.sequence(7, 7)
        await listener.silent()


async def durable(run):
    client = await connect(run, "py-durable")
    channel = "py.durable"
    await store(client, channel, 1, 4)
    listener = await Listener.open(client, channel, durable_name="d", start_at="first")
    await listener.sequence(1, 4)
    await listener.subscription.close()
    await store(client, channel, 5, 6)
    listener = await Listener.open(client, channel, durable_name="d", start_at="first")
    await listener.sequence(5, 6)
    await client.close()

    client = await connect(run, "py-durable")
    await store(client, channel, 7, 7)
    listener = await Listener.open(client, channel, durable_name="d")
    await listener.sequence(7, 7)
    await listener.subscription.unsubscribe()
    listener = await Listener.open(client, channel, durable_name="d", start_at="first")
    await listener.sequence(1, 7)
    await client.close()


async def queue_group(run):
    publisher = await connect(run, "py-group-publisher")
    members = [await connect(run, f"py-member-{i}") for i in range(GROUP_MEMBERS)]
    listeners = [await Listener.open(member, "py.group", queue="workers", max_inflight=5) for member in members]
    plain = await Listener.open(publisher, "py.group")
    await store(publisher, "py.group", 1, GROUP_MESSAGES)
    await each(listeners, 1, GROUP_MESSAGES)
    await plain.sequence(1, GROUP_MESSAGES)


async def durable_queue_group(run):
    client = await connect(run, "py-durable-group")
    channel = "py.durable.group"

    async def members():
        options = {"queue": "workers", "durable_name": "d", "start_at": "first"}
        return [await Listener.open(client, channel, **options) for _ in range(GROUP_MEMBERS)]

    await store(client, channel, 1, 10)
    listeners = await members()
    await each(listeners, 1, 10)
    for listener in listeners:
        await listener.subscription.close()
    await store(client, channel, 11, 20)
    listeners = await members()
    await each(listeners, 11, 20)
    for listener in listeners:
        await listener.subscription.unsubscribe()
    await each(await members(), 1, 20)


async def redelivery(run):
    client = await connect(run, "py-redelivery")
    channel = "py.redelivery"
    listener = await Listener.open(client, channel, ack_wait=REDELIVER_AFTER_S, max_inflight=4)
    await store(client, channel, 1, 6)
    messages = [await listener.take() for _ in range(4)]
    await listener.silent()  # four are out and none is acknowledged
    await listener.ack(messages[0])
    await listener.ack(messages[2])
    await listener.sequence(5, 6)
    for number in (2, 4):
        message = await listener.take()
        must(message.proto.redelivered and message.seq == number, f"got {message.seq}, expected {number} again")
        await listener.ack(message)
    await store(client, channel, 7, 7)
    await listener.sequence(7, 7)


async def clients(run):
    first = await connect(run, "py-same")
    await refused("stan: clientID already registered", connect(run, "py-same"))
    listener = await Listener.open(first, "py.clients")
    await listener.subscription.unsubscribe()
    await store(first, "py.clients", 1, 1)
    await listener.silent()
    await first.close()
    second = await connect(run, "py-same")
    await second.close()


async def ready(run):
    """Returns when streaming is served, which may be later than when the port accepts."""
    give_up = time.monotonic() + START_S
    while True:
        try:
            await (await connect(run, "py-ready")).close()
            return
        except Exception as error:  # this client's errors have no common class
            must(time.monotonic() < give_up, f"not ready: {error!r}")


async def restart(run):
    """The server is killed and started again on its port and its folder, while publishers and subscribers stay."""
    port = free_port()
    folder = tempfile.mkdtemp(prefix="interop-py-")
    words = ["-st", "FILE", "-dir", folder]
    server = await start_server(run.binary, port, words)
    reconnected = []

    async def note():
        reconnected.append(True)

    try:
        run.url = f"nats://127.0.0.1:{port}"
        await ready(run)
        client = await connect(
            run, "py-restart", reconnect_time_wait=0.05, max_reconnect_attempts=300, reconnected_cb=note
        )
        channel = "py.restart"
        short = {"ack_wait": REDELIVER_AFTER_S}
        plain = await Listener.open(client, channel)
        held = await Listener.open(client, channel, durable_name="d", **short)
        closed = await Listener.open(client, channel, durable_name="closed")
        await store(client, channel, 1, BEFORE_KILL)
        await plain.sequence(1, BEFORE_KILL)
        await closed.sequence(1, BEFORE_KILL)
        for number in range(1, BEFORE_KILL + 1):
            message = await held.take()
            if number != 7:
                await held.ack(message)
        await closed.subscription.close()
        # What was acknowledged before that answer is stored when this is.
        await store(client, f"{channel}.behind", 1, 1)

        kill_server(server)
        server = await start_server(run.binary, port, words)
        await until(lambda: reconnected, RECONNECT_S, "reconnect")
        await ready(run)
        await store(client, channel, BEFORE_KILL + 1, BEFORE_KILL + AFTER_KILL)
        expected, again = BEFORE_KILL + 1, False
        while expected <= BEFORE_KILL + AFTER_KILL or not again:
            message = await held.take()
            await held.ack(message)
            if message.proto.redelivered:
                must(message.seq == 7 and not again, f"{message.seq} came again")
                again = True
                continue
            must(message.seq == expected, f"got {message.seq}, expected {expected}")
            expected += 1
        resumed = await Listener.open(client, channel, durable_name="closed")
        await resumed.sequence(BEFORE_KILL + 1, BEFORE_KILL + AFTER_KILL)
        everything = await Listener.open(client, channel, start_at="first")
        await everything.sequence(1, BEFORE_KILL + AFTER_KILL)
        await plain.sequence(BEFORE_KILL + 1, BEFORE_KILL + AFTER_KILL)
        await client.close()
        for connection in run.open:
            await connection.close()
    finally:
        kill_server(server)
        shutil.rmtree(folder, ignore_errors=True)


SCENARIOS = (
    publish,
    start_positions,
    durable,
    queue_group,
    durable_queue_group,
    redelivery,
    clients,
    restart,
)
NEEDS_BINARY = (restart,)
