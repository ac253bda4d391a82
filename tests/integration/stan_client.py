"""A NATS Streaming client of nothing but sockets and bytes, for tests that say themselves what goes over the wire.

Nats is a connection; Stan a streaming client on one, which answers heartbeats unless told not to. What a server sends
comes in queues; whoever waits gives up after WAIT seconds, which is far more than anything here takes.
"""
import queue
import socket
import threading

WAIT = 20
NEW_ONLY, LAST, TIME_DELTA, SEQUENCE, FIRST = range(5)


# ---- protobuf: as much as these messages need ----

def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(*fields):
    """(number, value) pairs; zero and empty values are left out."""
    out = b""
    for number, value in fields:
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value if value else b""
        elif value:
            out += varint(number << 3) + varint(int(value))
    return out


def decode(data):
    """{number: value}; numbers unsigned, texts as bytes."""
    fields, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            fields[key >> 3] = number()
        elif key & 7 == 2:
            count = number()
            fields[key >> 3] = data[at:at + count]
            at += count
        else:
            raise ValueError(f"wire type {key & 7}")
    return fields


# ---- NATS ----

class Message:
    def __init__(self, subject, reply, headers, data):
        self.subject, self.reply, self.headers, self.data = subject, reply, headers, data


class Nats:
    def __init__(self, port, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.file.readline()  # INFO
        self.lock = threading.Lock()
        self.takers, self.pongs, self.sids, self.names = {}, queue.Queue(), 0, 0
        self.closed = False
        self.send(b'CONNECT {"verbose":false,"protocol":1,"headers":true,"no_responders":true}\r\nPING\r\n')
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.socket.settimeout(None)
        self.thread.start()
        self.pongs.get(timeout=WAIT)

    def send(self, data):
        with self.lock:
            self.socket.sendall(data)

    def read(self):
        try:
            while True:
                words = self.file.readline().split()
                if not words:
                    break
                if words[0] in (b"MSG", b"HMSG"):
                    with_headers = words[0] == b"HMSG"
                    total = int(words[-1])
                    header = int(words[-2]) if with_headers else 0
                    rest = words[3:-2 if with_headers else -1]
                    body = self.file.read(total + 2)[:-2]
                    taker = self.takers.get(int(words[2]))
                    if taker is not None:
                        taker(Message(words[1].decode(), rest[0].decode() if rest else "", body[:header],
                                      body[header:]))
                elif words[0] == b"PING":
                    self.send(b"PONG\r\n")
                elif words[0] == b"PONG":
                    self.pongs.put(True)
        except (OSError, ValueError):
            pass

    def inbox(self):
        with self.lock:
            self.names += 1
            return f"_INBOX.{id(self):x}{self.socket.fileno()}.{self.names}"

    def subscribe(self, subject, taker=None):
        """A queue of what comes, unless a function takes it."""
        messages = queue.Queue()
        with self.lock:
            self.sids += 1
            sid = self.sids
        self.takers[sid] = taker or messages.put
        self.send(f"SUB {subject} {sid}\r\n".encode())
        return messages

    def publish(self, subject, data=b"", reply=""):
        self.send(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    def flush(self):
        self.send(b"PING\r\n")
        self.pongs.get(timeout=WAIT)

    def request(self, subject, data, timeout=WAIT):
        """The answer's bytes; None: nobody is there, or no answer came."""
        reply = self.inbox()
        answers = self.subscribe(reply)
        self.publish(subject, data, reply)
        try:
            answer = answers.get(timeout=timeout)
        except queue.Empty:
            return None
        return None if answer.headers.startswith(b"NATS/1.0 503") else answer.data

    def close(self):
        self.closed = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join()
        self.file.close()
        self.socket.close()


# ---- NATS Streaming ----

class Refused(Exception):
    """The server's text."""


class Stored:
    """A message as a subscription got it."""

    def __init__(self, data):
        fields = decode(data)
        self.bytes = len(data)
        self.fields = fields
        self.sequence = fields.get(1, 0)
        self.subject = fields.get(2, b"").decode()
        self.data = fields.get(4, b"")
        self.timestamp = fields.get(5, 0)
        self.redelivered = bool(fields.get(6, 0))
        self.count = fields.get(7, 0)


class Subscription:
    def __init__(self, client, channel, inbox, auto):
        self.client, self.channel, self.inbox, self.auto = client, channel, inbox, auto
        self.ack_inbox = None
        self.messages = queue.Queue()
        self.raw = queue.Queue()
        self.early = []  # what came before the answer was read, to be acknowledged then
        self.lock = threading.Lock()

    def take(self, message):
        stored = Stored(message.data)
        self.messages.put(stored)
        if not self.auto:
            return
        with self.lock:
            if not self.ack_inbox:
                self.early.append(stored.sequence)
                return
        self.ack(stored.sequence)

    def answered(self, ack_inbox):
        with self.lock:
            self.ack_inbox = ack_inbox
        for sequence in self.early:
            self.ack(sequence)

    def ack(self, sequence):
        self.client.nats.publish(self.ack_inbox, encode((1, self.channel), (2, sequence)))

    def next(self, timeout=WAIT):
        return self.messages.get(timeout=timeout)

    def next_all(self, count, timeout=WAIT):
        return [self.next(timeout) for _ in range(count)]

    def silent(self, seconds=0.15):
        """Whether nothing comes. What was sent before is in order before the answer to a ping."""
        try:
            self.messages.get(timeout=seconds)
            return False
        except queue.Empty:
            return True

    def end(self, close=False, inbox=None, client_id=None, channel=None):
        subject = self.client.subjects[6 if close else 3]
        answer = self.client.nats.request(subject, encode(
            (1, self.client.client_id if client_id is None else client_id),
            (2, self.channel if channel is None else channel),
            (3, self.ack_inbox if inbox is None else inbox)))
        fields = decode(answer)
        if 3 in fields:
            raise Refused(fields[3].decode())
        return answer


class Stan:
    def __init__(self, nats, client_id, cluster="test-cluster", protocol=1, connection_id=None, interval=5, most_out=88,
                 beats=True, timeout=WAIT):
        self.nats, self.client_id, self.beats = nats, client_id, beats
        self.heartbeats = 0
        self.connection_id = (f"conn-{client_id}".encode() if connection_id is None else connection_id) \
            if protocol else b""
        self.hb_inbox = nats.inbox()
        nats.subscribe(self.hb_inbox, self.beat)
        self.acks = {}
        self.guids = 0
        self.ack_inbox = "_STAN.acks." + nats.inbox()[7:]
        nats.subscribe(self.ack_inbox, self.acked)
        self.discover = f"_STAN.discover.{cluster}"
        answer = nats.request(self.discover, encode(
            (1, client_id), (2, self.hb_inbox), (3, protocol), (4, self.connection_id),
            (5, interval if protocol else 0), (6, most_out if protocol else 0)), timeout)
        if answer is None:
            raise Refused("nobody")
        self.answer = answer
        self.subjects = {k: v.decode() if isinstance(v, bytes) else v for k, v in decode(answer).items()}
        if 5 in self.subjects:
            raise Refused(self.subjects[5])

    def move(self, nats, *subscriptions):
        """Goes on over another connection, as a NATS client that has connected again."""
        self.nats = nats
        for subject, taker in [(self.hb_inbox, self.beat), (self.ack_inbox, self.acked),
                               *((s.inbox, s.take) for s in subscriptions)]:
            nats.subscribe(subject, taker)
        nats.flush()

    def beat(self, message):
        self.heartbeats += 1
        if self.beats:
            self.nats.publish(message.reply)

    def acked(self, message):
        fields = decode(message.data)
        waiting = self.acks.pop(fields.get(1, b""), None)
        if waiting is not None:
            waiting.put(fields.get(2, b"").decode())

    def publish_later(self, channel, data, client_id=None, connection_id=None, guid=None):
        """A queue in which the acknowledgement's error, or "", will be."""
        if guid is None:
            self.guids += 1
            guid = f"{self.client_id}-{self.guids}"
        done = self.acks[guid.encode()] = queue.Queue()
        self.nats.publish(f"{self.subjects.get(1, '_STAN.pub.test-cluster')}.{channel}", encode(
            (1, self.client_id if client_id is None else client_id), (2, guid), (3, channel), (5, data),
            (6, self.connection_id if connection_id is None else connection_id)), self.ack_inbox)
        return done

    def publish(self, channel, data=b"hello", **more):
        error = self.publish_later(channel, data, **more).get(timeout=WAIT)
        if error:
            raise Refused(error)

    def publish_all(self, channel, texts):
        for done in [self.publish_later(channel, text) for text in texts]:
            error = done.get(timeout=WAIT)
            if error:
                raise Refused(error)

    def subscribe(self, channel, group="", durable="", start=NEW_ONLY, sequence=0, delta_ns=0, in_flight=1024,
                  ack_wait=30, auto=False, inbox=None, client_id=None):
        subscription = Subscription(self, channel, inbox or self.nats.inbox(), auto)
        self.nats.subscribe(subscription.inbox, subscription.take)
        answer = self.nats.request(self.subjects[2], encode(
            (1, self.client_id if client_id is None else client_id), (2, channel), (3, group), (4, subscription.inbox),
            (5, in_flight), (6, ack_wait), (7, durable), (10, start), (11, sequence), (12, delta_ns)))
        fields = decode(answer)
        if 3 in fields:
            raise Refused(fields[3].decode())
        subscription.answered(fields[2].decode())
        return subscription

    def ping(self):
        answer = self.nats.request(self.subjects[7], encode((1, self.connection_id)))
        return decode(answer).get(1, b"").decode()

    def close(self, client_id=None):
        answer = self.nats.request(self.subjects[4], encode((1, self.client_id if client_id is None else client_id)))
        fields = decode(answer)
        if 1 in fields:
            raise Refused(fields[1].decode())
        return answer
