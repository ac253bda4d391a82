"""What is checked. Publisher and subscriber are different connections, so that a server of many threads has them on
different ones, and a flush of the subscriber stands between SUB and the first publish."""

import os
import ssl
import time

import nats
from nats.errors import NoRespondersError

from accounts import accounts
from harness import WAIT_S, Mailbox, free_port, kill_server, must, settle, start_server, until
from login import logins

MEMBERS = 4
QUEUE_MESSAGES = 400
REQUESTS = 200
DRAIN_MESSAGES = 2000
MIXED_BYTES = 10 * 1024 * 1024
MIXED_UNREAD = 64  # messages sent ahead of the comparison
MAX_PAYLOAD = 1024 * 1024
RECONNECT_S = 15.0
AFTER_RECONNECT = 100


def secure():
    """TLS with a certificate, when INTEROP_TLS names a folder with ca.pem, client.pem and client.key."""
    folder = os.environ.get("INTEROP_TLS")
    if folder is None:
        return {}
    context = ssl.create_default_context(cafile=os.path.join(folder, "ca.pem"))
    context.load_cert_chain(os.path.join(folder, "client.pem"), os.path.join(folder, "client.key"))
    return {"tls": context, "tls_hostname": "127.0.0.1"}


async def connect(run, count, **options):
    connections = []
    for _ in range(count):
        connection = await nats.connect(run.url, **secure(), **options)
        run.open.append(connection)
        connections.append(connection)
    return connections


async def publish_subscribe(run):
    publisher, subscriber = await connect(run, 2)
    literal = await Mailbox.open(subscriber, "interop.py.orders.eu")
    star = await Mailbox.open(subscriber, "interop.py.*.eu")
    tail = await Mailbox.open(subscriber, "interop.py.>")
    await settle(subscriber)
    await publisher.publish("interop.py.orders.eu", b"one")
    await publisher.publish("interop.py.bills.eu", b"two")
    await publisher.publish("interop.py.bills.eu.late", b"")
    await publisher.publish("interop.py", b"matches nothing")
    await settle(publisher)
    await literal.expect("interop.py.orders.eu", b"one")
    await star.expect("interop.py.orders.eu", b"one")
    await star.expect("interop.py.bills.eu", b"two")
    await tail.expect("interop.py.orders.eu", b"one")
    await tail.expect("interop.py.bills.eu", b"two")
    await tail.expect("interop.py.bills.eu.late", b"")

    await star.subscription.unsubscribe()
    await settle(subscriber)
    before = subscriber.stats["in_msgs"]
    await publisher.publish("interop.py.orders.eu", b"three")
    await settle(publisher)
    await settle(subscriber)
    await literal.expect("interop.py.orders.eu", b"three")
    await tail.expect("interop.py.orders.eu", b"three")
    await literal.quiet()
    await tail.quiet()
    must(subscriber.stats["in_msgs"] == before + 2, "a message came for a subscription that was gone")


async def auto_unsubscribe(run):
    publisher, subscriber = await connect(run, 2)
    limited = await Mailbox.open(subscriber, "interop.py.limited")
    await limited.subscription.unsubscribe(limit=3)
    unlimited = await Mailbox.open(subscriber, "interop.py.limited")
    await settle(subscriber)
    for i in range(6):
        await publisher.publish("interop.py.limited", b"%d" % i)
    await settle(publisher)
    for i in range(6):
        if i < 3:
            await limited.expect("interop.py.limited", b"%d" % i)
        await unlimited.expect("interop.py.limited", b"%d" % i)
    await settle(subscriber)
    must(len(limited.messages) == 3, "more than max came")


async def queue_groups(run):
    """Every message reaches one member of the group and the plain subscriber; no member stays without."""
    publisher, *connections = await connect(run, MEMBERS + 1)
    group = []
    for i, connection in enumerate(connections):
        subject = ("interop.py.work.>", "interop.py.work.*")[i % 2]
        group.append(await Mailbox.open(connection, subject, "workers"))
    plain = await Mailbox.open(connections[0], "interop.py.work.a")
    for connection in connections:
        await settle(connection)
    for i in range(QUEUE_MESSAGES):
        await publisher.publish("interop.py.work.a", b"%d" % i)
    await settle(publisher)
    for i in range(QUEUE_MESSAGES):
        await plain.expect("interop.py.work.a", b"%d" % i)
    for connection in connections:
        await settle(connection)
    await plain.quiet()
    seen = [0] * QUEUE_MESSAGES
    for member in group:
        numbers = [int(message.data) for message in member.messages]
        must(numbers, "a member got nothing")
        must(numbers == sorted(set(numbers)), f"out of order: {numbers}")
        for number in numbers:
            seen[number] += 1
    must(all(count == 1 for count in seen), f"deliveries: {seen}")


async def request_reply(run):
    requester, service = await connect(run, 2)

    async def respond(request):
        await request.respond(b"re: " + request.data)

    await service.subscribe("interop.py.service", cb=respond)
    await settle(service)
    for i in range(REQUESTS):
        reply = await requester.request("interop.py.service", b"question %d" % i, timeout=WAIT_S)
        must(reply.data == b"re: question %d" % i, f"got {reply.data!r} for question {i}")


async def no_responders(run):
    """A request that nobody serves is answered at once, not by running out of time."""
    requester, service = await connect(run, 2)

    async def unserved():
        started = time.monotonic()
        try:
            await requester.request("interop.py.nobody", b"?", timeout=WAIT_S)
        except NoRespondersError:
            must(time.monotonic() - started < WAIT_S / 2, "no responders took too long")
            return
        must(False, "a request that nobody serves was answered")

    async def respond(request):
        await request.respond(b"")

    await unserved()
    subscription = await service.subscribe("interop.py.nobody", cb=respond)
    await settle(service)
    await requester.request("interop.py.nobody", b"?", timeout=WAIT_S)
    await subscription.unsubscribe()
    await settle(service)
    await unserved()


async def headers(run):
    publisher, subscriber = await connect(run, 2)
    mailbox = await Mailbox.open(subscriber, "interop.py.headers")
    await settle(subscriber)
    for payload in (b"", b"hello"):
        fields = {"Trace-Id": "42", "lower-case": "a: b  c"}
        await publisher.publish("interop.py.headers", payload, reply="interop.py.reply", headers=fields)
        await settle(publisher)
        message = await mailbox.expect("interop.py.headers", payload)
        must(message.reply == "interop.py.reply", f"reply {message.reply}")
        must(message.headers == fields, f"headers {message.headers}")
    await publisher.publish("interop.py.headers", b"none")
    message = await mailbox.expect("interop.py.headers", b"none")
    must(not message.headers, "headers out of nowhere")


async def drain(run):
    """A drained connection hands over all that was published before, gets nothing more, and closes by itself; what
    it published before arrives."""
    publisher, subscriber = await connect(run, 2)
    mailbox = await Mailbox.open(subscriber, "interop.py.drain")
    witness = await Mailbox.open(publisher, "interop.py.last")
    await settle(publisher)
    await settle(subscriber)
    for i in range(DRAIN_MESSAGES):
        await publisher.publish("interop.py.drain", b"%d" % i)
    await settle(publisher)
    await subscriber.publish("interop.py.last", b"bye")
    await subscriber.drain()
    must(subscriber.is_closed, "the drained connection did not close")
    await witness.expect("interop.py.last", b"bye")
    await publisher.publish("interop.py.drain", b"too late")
    await settle(publisher)
    must(
        [message.data for message in mailbox.messages] == [b"%d" % i for i in range(DRAIN_MESSAGES)],
        f"got {len(mailbox.messages)} messages, expected {DRAIN_MESSAGES} in order",
    )


# Sizes around what servers and kernels round to, small ones more often.
MIXED_SIZES = (
    0, 1, 16, 127, 128, 512, 1000, 4095, 4096, 8191, 16384, 3, 65535, 65536, 2, 300, 32767, 100000,
    65537, 7, 40000, 262144, 11, 1024, 600, 20000, 2048,
)  # fmt: skip
POOL_BYTES = 4093  # a prime, so that messages do not repeat at buffer boundaries


def mixed_payload(number):
    """A message's bytes, made from its number; zero bytes, CR LF and all others occur."""
    size = MAX_PAYLOAD if number == 100 else MIXED_SIZES[number % len(MIXED_SIZES)]
    state = (number + 1) * 2654435761 % 2**32
    pool = bytearray()
    for _ in range(min(size, POOL_BYTES)):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        pool.append(state >> 24)
    return bytes(pool * (size // POOL_BYTES + 1))[:size]


async def mixed_bytes(run):
    """Every third message travels with a header."""
    publisher, subscriber = await connect(run, 2)
    mailbox = await Mailbox.open(subscriber, "interop.py.mixed.>")
    await settle(subscriber)
    sent = compared = total = 0
    while total < MIXED_BYTES or compared < sent:
        if total < MIXED_BYTES and sent - compared < MIXED_UNREAD:
            payload = mixed_payload(sent)
            fields = {"Number": str(sent)} if sent % 3 == 0 else None
            await publisher.publish(f"interop.py.mixed.{sent % 7}", payload, headers=fields)
            total += len(payload)
            sent += 1
            continue
        message = await mailbox.next()
        mailbox.messages[compared] = None  # ten megabytes need not stay
        must(message.subject == f"interop.py.mixed.{compared % 7}", f"subject {message.subject}")
        must(message.data == mixed_payload(compared), f"message {compared} has other bytes")
        number = (message.headers or {}).get("Number")
        must(number == (str(compared) if compared % 3 == 0 else None), f"message {compared} has header {number}")
        compared += 1


async def reconnect(run):
    """The server is killed and started again on its port; the subscriptions come back."""
    port = free_port()
    server = await start_server(run.binary, port)
    reconnected = []

    async def note():
        reconnected.append(True)

    async def ignore(_error):
        pass

    try:
        run.url = f"nats://127.0.0.1:{port}"
        options = {
            "reconnect_time_wait": 0.05, "max_reconnect_attempts": 300, "reconnected_cb": note, "error_cb": ignore,
        }  # fmt: skip
        publisher, subscriber = await connect(run, 2, **options)
        plain = await Mailbox.open(subscriber, "interop.py.again.*")
        queue = await Mailbox.open(subscriber, "interop.py.again.>", "q")
        gone = await Mailbox.open(subscriber, "interop.py.again.>")
        await gone.subscription.unsubscribe()
        await settle(subscriber)
        await publisher.publish("interop.py.again.a", b"before")
        await plain.expect("interop.py.again.a", b"before")
        await queue.expect("interop.py.again.a", b"before")

        kill_server(server)
        await until(lambda: not publisher.is_connected and not subscriber.is_connected, WAIT_S, "the loss is noticed")
        server = await start_server(run.binary, port)
        await until(lambda: len(reconnected) == 2, RECONNECT_S, "reconnect")
        await settle(subscriber)
        for i in range(AFTER_RECONNECT):
            await publisher.publish("interop.py.again.b", b"%d" % i)
        await settle(publisher)
        for i in range(AFTER_RECONNECT):
            await plain.expect("interop.py.again.b", b"%d" % i)
            await queue.expect("interop.py.again.b", b"%d" % i)
        await settle(subscriber)
        await plain.quiet()
        must(not gone.messages, "a subscription that was gone came back")
        for connection in run.open:
            await connection.close()
    finally:
        kill_server(server)


SCENARIOS = (
    publish_subscribe,
    auto_unsubscribe,
    queue_groups,
    request_reply,
    no_responders,
    headers,
    drain,
    mixed_bytes,
    reconnect,
    logins,
    accounts,
)
NEEDS_BINARY = (reconnect, logins, accounts)
