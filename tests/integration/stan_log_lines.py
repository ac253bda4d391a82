"""What a streaming server logs of clients, subscriptions and messages with -SDV: the original's words, which people search for
(spec/streaming.md 20.1). A scene that makes it say each of them, and what it has to say."""
import re

from stan_client import FIRST, LAST, SEQUENCE, TIME_DELTA, Nats, Refused, Stan

# Inboxes are X, moments T.
EXPECTED = """\
[DBG] Discover subject:           _STAN.discover.test-cluster
[DBG] Publish subject:            _STAN.pub.test-cluster.>
[DBG] Subscribe subject:          _STAN.sub.test-cluster
[DBG] Subscription Close subject: _STAN.subclose.test-cluster
[DBG] Unsubscribe subject:        _STAN.unsub.test-cluster
[DBG] Close subject:              _STAN.close.test-cluster
[DBG] [Client:me] Connected (Inbox=X)
[DBG] [Client:me] Started new subscription, subject=foo, inbox=X, subid=1, sending new-only, seq=1
[DBG] [Client:me] Started new subscription, subject=foo, inbox=X, subid=2, sending last message, seq=1
[DBG] [Client:me] Started new subscription, subject=foo, inbox=X, subid=3, sending from beginning, seq=1
[DBG] [Client:me] Started new subscription, subject=foo, inbox=X, subid=4, sending from sequence, asked_seq=2 actual_seq=1
[DBG] [Client:me] Started new subscription, subject=foo, inbox=X, subid=5, sending from time time='T' seq=1
[TRC] [Client:me] Received message from publisher subj=foo guid=one
[TRC] [Client:me] Delivering msg to subid=1, subject=foo, seq=1
[TRC] [Client:me] Delivering msg to subid=2, subject=foo, seq=1
[TRC] [Client:me] Delivering msg to subid=3, subject=foo, seq=1
[TRC] [Client:me] Delivering msg to subid=4, subject=foo, seq=1
[TRC] [Client:me] Delivering msg to subid=5, subject=foo, seq=1
[TRC] [Client:me] Acking Publisher subj=foo guid=one
[DBG] [Client:me] Started new durable subscription, subject=bar, inbox=X, durable=d, subid=1, sending new-only, seq=1
[DBG] [Client:me] Started new queue subscription, subject=bar, inbox=X, queue=g, subid=2, sending new-only, seq=1
[DBG] [Client:me] Added member to queue subscription, subject=bar, inbox=X, queue=g, subid=3
[DBG] [Client:me] Started new durable queue subscription, subject=bar, inbox=X, queue=q:g, subid=4, sending new-only, seq=1
[DBG] [Client:me] Added member to durable queue subscription, subject=bar, inbox=X, queue=q:g, subid=5
[DBG] [Client:me] Started new subscription, subject=again, inbox=X, subid=1, sending new-only, seq=1
[TRC] [Client:me] Received message from publisher subj=again guid=two
[TRC] [Client:me] Delivering msg to subid=1, subject=again, seq=1
[TRC] [Client:me] Acking Publisher subj=again guid=two
[TRC] [Client:me] Redelivering msg to subid=1, subject=again, seq=1
[TRC] [Client:me] Processing ack for subid=1, subject=again, seq=1
[DBG] [Client:me] Suspended durable subscription, subject=bar, inbox=X, durable=d, subid=1
[DBG] [Client:me] Resumed durable subscription, subject=bar, inbox=X, durable=d, subid=1
[DBG] [Client:me] Removed durable subscription, subject=bar, inbox=X, durable=d, subid=1
[DBG] [Client:me] Removed member from queue subscription, subject=bar, inbox=X, queue=g, subid=2
[DBG] [Client:me] Removed queue subscription, subject=bar, inbox=X, queue=g, subid=3
[DBG] [Client:me] Removed member from durable queue subscription, subject=bar, inbox=X, queue=q:g, subid=4
[DBG] [Client:me] Suspended durable queue subscription, subject=bar, inbox=X, queue=q:g, subid=5
[DBG] [Client:me] Resumed durable queue subscription, subject=bar, inbox=X, queue=q:g, subid=5
[DBG] [Client:me] Removed durable queue subscription, subject=bar, inbox=X, queue=q:g, subid=5
[DBG] [Client:me] Connect failed; already connected
[DBG] [Client:two] Connected (Inbox=X)
[DBG] [Client:two] Closed (Inbox=X)
[DBG] [Client:two] Replaced old client (Inbox=X)
[DBG] [Client:two] Closed (Inbox=X)
[DBG] [Client:me] Removed subscription, subject=foo, inbox=X, subid=1
[DBG] [Client:me] Removed subscription, subject=foo, inbox=X, subid=2
[DBG] [Client:me] Removed subscription, subject=foo, inbox=X, subid=3
[DBG] [Client:me] Removed subscription, subject=foo, inbox=X, subid=4
[DBG] [Client:me] Removed subscription, subject=foo, inbox=X, subid=5
[DBG] [Client:me] Removed subscription, subject=again, inbox=X, subid=1
[DBG] [Client:me] Closed (Inbox=X)
""".splitlines()


def play(port):
    client = Stan(Nats(port), "me")
    for more in ({}, {"start": LAST}, {"start": FIRST}, {"start": SEQUENCE, "sequence": 2},
                 {"start": TIME_DELTA, "delta_ns": 10 ** 9}):
        client.subscribe("foo", **more)
    client.publish("foo", guid="one")
    durable = client.subscribe("bar", durable="d")
    members = [client.subscribe("bar", group="g") for _ in range(2)]
    durable_members = [client.subscribe("bar", group="g", durable="q") for _ in range(2)]
    again = client.subscribe("again", ack_wait=1)
    client.publish("again", guid="two")
    again.next_all(2)
    again.ack(1)
    durable.end(close=True)
    client.subscribe("bar", durable="d").end()
    for member in members:
        member.end()
    for member in durable_members:
        member.end(close=True)
    client.subscribe("bar", group="g", durable="q").end()
    try:
        Stan(client.nats, "me")
    except Refused:
        pass
    Stan(Nats(port), "two", beats=False)
    Stan(Nats(port), "two", connection_id=b"other").close()
    client.close()


def wrong(log):
    """The first line that is not as expected, with what is; None: all are."""
    lines = [re.sub(r"_INBOX\.\w+(\.\d+)?", "X", line) for line in re.findall(r"(\[(?:DBG|TRC)\] STREAM: .*)", log)]
    lines = [re.sub(r"time='[\d-]+ [\d:.]+ \+0000 UTC'", "time='T'", line).replace("STREAM: ", "") for line in lines]
    lines = [line for line in lines if "another server" not in line and "has been closed" not in line]
    # A client that is slow to acknowledge gets its message once more.
    lines = [line for place, line in enumerate(lines) if "Redelivering" not in line or line != lines[place - 1]]
    for place, line in enumerate(EXPECTED):
        if place >= len(lines) or lines[place] != line:
            return line, lines[place] if place < len(lines) else "(nothing)"
    return None
