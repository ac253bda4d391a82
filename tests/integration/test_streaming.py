#!/usr/bin/env python3
"""The checklist of NATS Streaming as cases: each says in bytes what a client sends and what has to come back, so the same
cases run against Myelin and, as proof of the cases themselves, against nats-streaming-server (docs/streaming.md 9).

usage: test_streaming.py SERVER_BINARY [--store FILE] [--only WORD]

A group of cases shares a server; within it cases run side by side, each with channels and client ids of its own. The
number behind a case is the checklist's. No case measures time; what has to stay away is waited for a moment.
"""
import argparse
import concurrent.futures
import json
import os
import queue
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

import stan_client
import stan_cases_groups  # pylint: disable=unused-import
import stan_metrics
import stan_process
from stan_cases import GROUPS, Scene, Server, Under, case, equal, refused, true
from stan_client import FIRST, LAST, NEW_ONLY, SEQUENCE, TIME_DELTA, Refused, Stan, decode, encode

# ---- wire (24.1) ----

@case("plain", 1)
def undecodable_requests_are_refused_each_with_its_text(scene):
    nats = scene.nats()
    for subject, field, text in (("_STAN.discover.test-cluster", 5, "stan: invalid connection request"),
                                 ("_STAN.pub.test-cluster.foo", 2, "stan: invalid publish request"),
                                 ("_STAN.sub.test-cluster", 3, "stan: invalid subscription request"),
                                 ("_STAN.unsub.test-cluster", 3, "stan: invalid unsubscribe request"),
                                 ("_STAN.subclose.test-cluster", 3, "stan: invalid unsubscribe request"),
                                 ("_STAN.close.test-cluster", 1, "stan: invalid close request")):
        equal(nats.request(subject, b"dummy"), encode((field, text)), subject)


@case("plain", 2)
def deliveries_have_no_byte_too_many(scene):
    client = scene.stan()
    channel = "foo"  # four letters of a name are four bytes of a message
    subscription = client.subscribe(channel)
    client.publish_all(channel, [b"0123456789"] * 3)
    for message in subscription.next_all(3):
        true(message.sequence < 128 or message.bytes == 30, "the sequence")
        equal(message.bytes, 29 if message.sequence < 128 else 30, "bytes of a delivery")


@case("plain", 3)
def ping_values_come_back_negative_ones_too(scene):
    client = scene.stan(interval=-50, most_out=5)
    equal(client.subjects[8], (1 << 64) - 50, "ping interval")
    equal(client.subjects[9], 5, "pings out")


@case("plain", 4)
def long_guids_come_back_whole(scene):
    client = scene.stan()
    guid = "g" * 5000
    client.publish(f"{scene.name}.c", b"x", guid=guid)


@case("plain", 5)
def unknown_fields_are_skipped(scene):
    nats = scene.nats()
    answer = nats.request("_STAN.discover.test-cluster",
                          encode((1, scene.name), (2, nats.inbox()), (77, b"what"), (78, 5)))
    true(5 not in decode(answer), "refused")


@case("plain", 6)
def a_field_of_the_wrong_kind_is_undecodable(scene):
    nats = scene.nats()
    equal(nats.request("_STAN.close.test-cluster", encode((1, 5))), encode((1, "stan: invalid close request")), "close")


@case("plain", 7)
def words_between_servers_are_dropped(scene):
    nats = scene.nats()
    # MsgType 4 as a varint in field 1, where PubMsg has a text.
    equal(nats.request("_STAN.pub.test-cluster.foo", b"\x08\x04\x12\x01a", timeout=0.3), None, "answer")


# ---- connect (24.2) ----

@case("plain", 8)
def client_ids_of_other_letters_are_refused(scene):
    nats = scene.nats()
    for client_id in ("", "a b", "a:b", "a,b", "a.b", "!@#$%^&*()", "a\n"):
        refused("stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed", Stan, nats, client_id)


@case("plain", 9)
def client_ids_of_these_letters_are_good(scene):
    nats = scene.nats()
    for suffix in ("id", "_with_underscores", "-with-hyphens", "09"):
        scene.stan(suffix, nats)


@case("plain", 10)
def a_connect_without_heartbeat_inbox_is_refused(scene):
    answer = scene.nats().request("_STAN.discover.test-cluster", encode((1, scene.name), (3, 1)))
    equal(answer, encode((5, "stan: invalid connection request")), "answer")


@case("plain", 12)
def protocol_1_is_told_of_pings(scene):
    client = scene.stan(interval=1, most_out=3)
    wanted = encode((1, "_STAN.pub.test-cluster"), (2, "_STAN.sub.test-cluster"), (3, "_STAN.unsub.test-cluster"),
                    (4, "_STAN.close.test-cluster"), (6, "_STAN.subclose.test-cluster"),
                    (7, "_STAN.discover.test-cluster.pings"), (8, 1), (9, 3), (10, 1))
    equal(client.answer, wanted, "ConnectResponse")


@case("plain", 13)
def protocol_0_is_not(scene):
    client = scene.stan(protocol=0)
    true(7 not in client.subjects and 8 not in client.subjects and client.subjects[10] == 1, "fields")
    client.publish(f"{scene.name}.c")


@case("plain", 14)
def the_id_of_a_live_client_is_taken(scene):
    client = scene.stan()
    refused("stan: clientID already registered", scene.stan)
    client.publish(f"{scene.name}.c")


@case("plain", 15)
def clients_that_lost_their_connections_come_back_at_once(scene):
    clients = [scene.stan(f"-{i}") for i in range(10)]
    for client in clients:
        client.nats.close()
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        back = list(pool.map(lambda i: scene.stan(f"-{i}", connection_id=b"again%d" % i), range(10)))
    for client in back:
        client.publish(f"{scene.name}.c")


@case("plain", 16)
def the_id_of_a_client_that_is_gone_is_free(scene):
    first = scene.stan()
    first.nats.close()
    scene.stan(connection_id=b"other").publish(f"{scene.name}.c")


@case("plain", 17)
def while_an_id_is_being_checked_others_are_refused(scene):
    first = scene.stan(beats=False)
    results = queue.Queue()

    def connect():
        try:
            results.put(scene.stan(connection_id=b"second").answer)
        except Refused as error:
            results.put(str(error))

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [results.get() for _ in threads]
    equal(sum(isinstance(text, str) for text in texts), 3, "refused")
    true(first.heartbeats >= 1, "the holder was not asked")


@case("plain", 20)
def closing_twice_is_an_error(scene):
    client = scene.stan()
    equal(client.close(), b"", "CloseResponse")
    refused("stan: unknown clientID", client.close)


@case("plain", 26)
def pings_of_strangers_are_told_so(scene):
    client = scene.stan()
    equal(client.ping(), "", "ping")
    client.close()
    equal(client.ping(), "client has been replaced or is no longer registered", "ping after close")


@case("plain", 27)
def a_replaced_client_is_cut_off(scene):
    first = scene.stan(connection_id=b"one", beats=False)
    second = scene.stan(connection_id=b"two")
    equal(first.ping(), "client has been replaced or is no longer registered", "ping")
    refused("stan: invalid publish request", first.publish, f"{scene.name}.c")
    second.publish(f"{scene.name}.c")


# ---- publish (24.4) ----

@case("plain", 31)
def a_thousand_publishes_are_all_acknowledged(scene):
    client = scene.stan()
    client.publish_all(f"{scene.name}.c", [b"x"] * 1024)


@case("plain", 32)
def wrong_publishes_are_refused(scene):
    client = scene.stan()
    for more in ({"guid": ""}, {"client_id": "nobody", "connection_id": b""}, {"connection_id": b"nothing"}):
        if "guid" in more:
            client.acks[b""] = done = queue.Queue()
            client.nats.publish("_STAN.pub.test-cluster.x", encode((1, client.client_id), (3, "x"), (6, b"?")),
                                client.ack_inbox)
            equal(done.get(timeout=stan_client.WAIT), "stan: invalid publish request", "without guid")
        else:
            refused("stan: invalid publish request", client.publish, f"{scene.name}.c", b"x", **more)
    for channel in ("foo.*", "foo.>", ".foo", "foo.", "foo..bar", "foo/bar", "foo*"):
        done = client.acks[b"guid"] = queue.Queue()
        client.nats.publish("_STAN.pub.test-cluster.x",
                            encode((1, client.client_id), (2, "guid"), (3, channel), (5, b"x")), client.ack_inbox)
        equal(done.get(timeout=stan_client.WAIT), "stan: invalid publish request", channel)


@case("plain", 33)
def the_connection_id_decides_alone(scene):
    client = scene.stan()
    client.publish(f"{scene.name}.c", b"x", client_id="wrong")


@case("plain", 34)
def without_one_the_client_id_does(scene):
    client = scene.stan()
    client.publish(f"{scene.name}.c", b"x", connection_id=b"")


@case("plain", 37)
def what_was_published_before_the_close_is_stored(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    for _ in range(1000):
        client.publish_later(channel, b"x")
    client.close()
    messages = scene.stan("2").subscribe(channel, start=FIRST, in_flight=2000).next_all(1000)
    equal([m.sequence for m in messages], list(range(1, 1001)), "sequences")


@case("plain", 39)
def a_publish_without_reply_is_stored(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel)
    client.nats.publish(f"_STAN.pub.test-cluster.{channel}",
                        encode((1, client.client_id), (2, "g"), (3, channel), (4, "reply"), (5, b"data")))
    message = subscription.next()
    equal((message.data, message.fields[3]), (b"data", b"reply"), "message")


@case("plain", 40)
def a_delivery_comes_before_the_acknowledgement_of_its_publish(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel)
    order = queue.Queue()
    subscription.take = lambda message: order.put("delivery")
    client.nats.subscribe(subscription.inbox, subscription.take)
    client.nats.subscribe(client.ack_inbox, lambda message: order.put("acknowledgement"))
    for _ in range(20):
        client.publish(channel)
        equal([order.get(timeout=stan_client.WAIT) for _ in range(2)], ["delivery", "acknowledgement"], "order")


# ---- channels (24.5) ----

@case("plain", 41)
def long_names_are_good(scene):
    scene.stan().publish(scene.name + ".x" * 100)


@case("plain", 42)
def names_differ_in_more_than_case(scene):
    client, channel = scene.stan(), f"{scene.name}.Foo"
    client.publish(channel)
    text = f'rejecting channel "{channel.lower()}" because channel "{channel}" alreay exists (different cases not allowed)'
    refused(text, client.publish, channel.lower())
    refused("exists", client.subscribe, channel.upper())


LIMITS = """
streaming {
    store_limits {
        max_channels: 6
        max_msgs: 10
        max_subs: 2
        channels {
            "two": { max_msgs: 2 }
            "alone": { max_subs: 1 }
            "bytes": { max_bytes: 200, max_msgs: 0 }
            "brief": { max_inactivity: "300ms" }
        }
    }
}
"""


@case("limits", 43)
def limits_hold(scene):
    """43, 44, 45, 46, 47, 52: one case, because all count the same channels."""
    client = scene.stan()
    client.publish_all("ten", [b"%d" % i for i in range(1, 21)])
    subscription = client.subscribe("ten", start=FIRST)
    equal([m.sequence for m in subscription.next_all(10)], list(range(11, 21)), "ten")
    subscription.end()
    client.publish_all("two", [b"x"] * 5)
    equal([m.sequence for m in client.subscribe("two", start=FIRST).next_all(2)], [4, 5], "two")
    client.publish_all("bytes", [b"x" * 36] * 20)
    first = client.subscribe("bytes", start=FIRST).next()
    true(first.sequence > 10, f"bytes: the first kept is {first.sequence}")
    alone = client.subscribe("alone")
    for more in ({}, {"durable": "d"}, {"group": "g"}, {"group": "g", "durable": "d"}):
        refused("too many subscriptions per channel", client.subscribe, "alone", **more)
    alone.end()
    client.subscribe("alone")
    brief = client.subscribe("brief", durable="d")
    client.publish("other")
    refused("too many channels", client.publish, "more")
    refused("too many channels", client.subscribe, "more")
    equal(brief.silent(0.5), True, "brief")
    client.publish("brief")
    brief.next()
    brief.end(close=True)
    deadline = time.monotonic() + stan_client.WAIT
    while 'Channel "brief" has been deleted' not in scene.server.log():
        true(time.monotonic() < deadline, "the unused channel stays")
        time.sleep(0.02)
    client.publish("more")


@case("limits", 72)
def sequences_outside_the_bounds_are_near_enough(scene):
    client = scene.stan()
    client.publish_all("ten", [b"x"] * 20)
    subscription = client.subscribe("ten", start=LAST)
    last = subscription.next().sequence
    subscription.end()
    subscription = client.subscribe("ten", start=SEQUENCE, sequence=1)
    equal(subscription.next().sequence, last - 9, "below")
    subscription.end()


@case("limits", 81)
def a_durable_that_was_away_goes_on_at_the_first_that_is_left(scene):
    """81, 82: of a durable, and of a group whose member is stalled."""
    client = scene.stan()
    client.publish("ten")
    durable = client.subscribe("ten", durable="d", start=LAST)
    last = durable.next().sequence
    durable.ack(last)
    durable.end(close=True)
    stalled = client.subscribe("ten", group="g", durable="q", in_flight=1, start=LAST)
    equal(stalled.next().sequence, last, "the group's first")
    client.publish_all("ten", [b"x"] * 15)
    stalled.end(close=True)
    for more in ({"durable": "d"}, {"group": "g", "durable": "q"}):
        resumed = client.subscribe("ten", start=NEW_ONLY, **more)
        equal([m.sequence for m in resumed.next_all(10)], list(range(last + 6, last + 16)), more)
        resumed.end()


# ---- subscribe (24.6) ----

@case("plain", 60)
def wrong_subscriptions_are_refused(scene):
    client = scene.stan()
    channel = f"{scene.name}.c"
    for text, more in (("stan: clientID missing", {"client_id": ""}),
                       ("stan: invalid ack wait time, should be >= 1s", {"ack_wait": 0}),
                       ("stan: invalid ack wait time, should be >= 1s", {"ack_wait": -1}),
                       ("stan: invalid MaxInflight, should be >= 1", {"in_flight": 0}),
                       ("stan: invalid MaxInflight, should be >= 1", {"in_flight": -1}),
                       ("stan: invalid start position", {"start": -1}),
                       ("stan: invalid start position", {"start": 5}),
                       ("stan: unknown clientID", {"client_id": "nobody"})):
        refused(text, client.subscribe, channel, **more)
    for name in ("foo*.bar", "foo.bar*", "foo.>.*", "", ".foo"):
        refused("stan: invalid subject", client.subscribe, name)


@case("plain", 61)
def a_colon_is_not_in_a_durable_groups_name(scene):
    refused("stan: durable name of a durable queue subscriber can't contain the character ':'",
            scene.stan().subscribe, f"{scene.name}.c", group="queue", durable="dur:name")


@case("plain", 64)
def the_response_comes_before_the_first_message(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    client.publish_all(channel, [b"x"] * 100)
    for more in ({}, {"durable": "d"}, {"group": "g"}, {"group": "g", "durable": "d"}):
        inbox = client.nats.inbox()
        raw = client.nats.subscribe(inbox)
        client.nats.publish("_STAN.sub.test-cluster", encode(
            (1, client.client_id), (2, channel), (3, more.get("group", "")), (4, inbox), (5, 10), (6, 30),
            (7, more.get("durable", "")), (10, FIRST)), inbox)
        first = decode(raw.get(timeout=stan_client.WAIT).data)
        true(2 in first and first[2].startswith(b"_INBOX."), f"first came {first}")
        equal(decode(raw.get(timeout=stan_client.WAIT).data)[1], 1, "then")


# ---- start positions (24.7) ----

@case("plain", 67)
def on_an_empty_channel_every_position_waits(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscriptions = [client.subscribe(channel, start=start, sequence=7, delta_ns=10 ** 9)
                     for start in (NEW_ONLY, LAST, TIME_DELTA, SEQUENCE, FIRST)]
    client.publish(channel)
    for subscription in subscriptions:
        equal(subscription.next().sequence, 1, "first")


@case("plain", 69)
def positions_begin_where_they_say(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    client.publish_all(channel, [b"x"] * 10)
    for wanted, more in ((11, {"start": NEW_ONLY}), (10, {"start": LAST}), (1, {"start": FIRST}),
                         (6, {"start": SEQUENCE, "sequence": 6}), (1, {"start": SEQUENCE}),
                         (11, {"start": SEQUENCE, "sequence": 50}),
                         (1, {"start": TIME_DELTA, "delta_ns": 3600 * 10 ** 9}),
                         (11, {"start": TIME_DELTA, "delta_ns": -3600 * 10 ** 9})):
        subscription = client.subscribe(channel, **more)
        if wanted == 11:
            true(subscription.silent(0.05), f"{more}: something came")
        else:
            equal([m.sequence for m in subscription.next_all(11 - wanted)], list(range(wanted, 11)), more)
    subscription = client.subscribe(channel, start=NEW_ONLY)
    client.publish(channel)
    equal(subscription.next().sequence, 11, "new only")


# ---- delivery (24.8) ----

@case("plain", 75)
def everything_arrives_once_in_order(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel, auto=True)
    client.publish_all(channel, [b"%d" % i for i in range(500)])
    messages = subscription.next_all(500)
    equal([m.data for m in messages], [b"%d" % i for i in range(500)], "data")
    true(all(m.timestamp > 10 ** 18 and not m.redelivered for m in messages), "fields")
    equal([m.timestamp for m in messages], sorted(m.timestamp for m in messages), "timestamps")


@case("plain", 76)
def who_subscribes_while_others_publish_misses_nothing(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    waiting = [client.publish_later(channel, b"%d" % i) for i in range(300)]
    subscription = scene.stan("2").subscribe(channel, start=FIRST, in_flight=1000)
    waiting += [client.publish_later(channel, b"%d" % i) for i in range(300, 600)]
    for done in waiting:
        equal(done.get(timeout=stan_client.WAIT), "", "acknowledgement")
    messages = subscription.next_all(600)
    equal([m.data for m in messages], [b"%d" % i for i in range(600)], "data")
    true(not any(m.redelivered for m in messages), "flags")


@case("plain", 77)
def the_window_holds(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    client.publish_all(channel, [b"x"] * 101)
    subscription = client.subscribe(channel, start=FIRST, in_flight=10)
    first = subscription.next_all(10)
    true(subscription.silent(), "more than the window")
    subscription.ack(3)
    equal(subscription.next().sequence, 11, "after an ack")
    true(subscription.silent(), "more than the window after an ack")
    for message in first:
        subscription.ack(message.sequence)
    equal([m.sequence for m in subscription.next_all(9)], list(range(12, 21)), "after acks")


@case("plain", 78)
def with_a_window_of_one_the_next_waits_for_the_ack(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    for more in ({}, {"durable": "d"}):
        subscription = client.subscribe(channel, in_flight=1, **more)
        client.publish_all(channel, [b"x"] * 2)
        first = subscription.next()
        true(subscription.silent(), f"{more}: beyond the window")
        subscription.ack(first.sequence)
        second = subscription.next()
        equal((second.sequence, second.redelivered), (first.sequence + 1, False), more)
        subscription.end()


# ---- acks and redelivery (24.9) ----

@case("plain", 85)
def what_is_not_acknowledged_comes_again(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel, ack_wait=1)
    client.publish_all(channel, [b"x"] * 10)
    for message in subscription.next_all(10):
        true(not message.redelivered, "the first time")
        if message.sequence % 2 == 1:
            subscription.ack(message.sequence)
    for turn in (1, 2):
        again = subscription.next_all(5)
        equal([m.sequence for m in again], [2, 4, 6, 8, 10], "again")
        true(all(m.redelivered and m.count == turn for m in again), f"count {turn}")
    for message in again:
        subscription.ack(message.sequence)
    true(subscription.silent(1.3), "acknowledged ones come")


@case("plain", 96)
def acks_nobody_knows_are_harmless(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel)
    client.publish(channel)
    subscription.next()
    subscription.ack(1)
    subscription.ack(1)
    subscription.ack(99)
    client.nats.publish(subscription.ack_inbox, encode((1, "no.such.channel"), (2, 7)))
    client.publish(channel)
    equal(subscription.next().sequence, 2, "next")
    true("Unable to process ack seq=7, channel no.such.channel not found" in scene.server.log(), "the log's line")


@case("plain", 97)
def an_ack_before_the_close_counts(scene):
    nats, channel = scene.nats(), f"{scene.name}.c"
    client = scene.stan(nats=nats)
    subscription = client.subscribe(channel, durable="d")
    client.publish_all(channel, [b"x"] * 50)
    for message in subscription.next_all(50):
        subscription.ack(message.sequence)
    client.close()
    client = scene.stan(nats=nats)
    client.publish(channel)
    message = client.subscribe(channel, durable="d").next()
    equal((message.sequence, message.redelivered), (51, False), "resumed")


# ---- durables (24.10) ----

@case("plain", 99)
def a_durable_is_live_once(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    client.subscribe(channel, durable="d")
    refused("stan: duplicate durable registration", client.subscribe, channel, durable="d")
    client.subscribe(f"{scene.name}.other", durable="d")
    scene.stan("2").subscribe(channel, durable="d")


@case("plain", 100)
def a_durable_goes_on_where_it_was(scene):
    nats, channel = scene.nats(), f"{scene.name}.c"
    client = scene.stan(nats=nats)
    subscription = client.subscribe(channel, durable="d", start=FIRST)
    client.publish_all(channel, [b"x"] * 5)
    for message in subscription.next_all(5):
        if message.sequence != 3:
            subscription.ack(message.sequence)
    client.close()
    client = scene.stan(nats=nats)
    client.publish(channel)
    resumed = client.subscribe(channel, durable="d", start=NEW_ONLY)
    true(resumed.ack_inbox != subscription.ack_inbox, "the same ack inbox")
    first, second = resumed.next_all(2)
    equal((first.sequence, first.redelivered, first.count), (3, True, 1), "pending first")
    equal((second.sequence, second.redelivered), (6, False), "then the new one")


@case("plain", 102)
def what_is_pending_comes_before_what_is_new(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel, durable="d", in_flight=50)
    client.publish_all(channel, [b"x"] * 60)
    subscription.next_all(50)
    subscription.end(close=True)
    for _ in range(50):
        client.publish_later(channel, b"y")
    resumed = client.subscribe(channel, durable="d", in_flight=20)
    messages = resumed.next_all(50)
    equal([m.sequence for m in messages], list(range(1, 51)), "pending")
    true(all(m.redelivered for m in messages), "flags")
    true(resumed.silent(), "new ones beyond the window")


@case("plain", 103)
def what_was_acknowledged_does_not_come_however_often_it_is_resumed(scene):
    """127 too: an acknowledgement just before the close counts."""
    client, channel = scene.stan(), f"{scene.name}.c"
    inboxes = set()
    for turn in range(1, 11):
        subscription = client.subscribe(channel, durable="d")
        inboxes.add(subscription.ack_inbox)
        client.publish(channel)
        message = subscription.next()
        equal((message.sequence, message.redelivered), (turn, False), "message")
        subscription.ack(message.sequence)
        subscription.end(close=True)
    equal(len(inboxes), 10, "ack inboxes")


@case("plain", 104)
def unsubscribe_forgets_and_close_does_not(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel, durable="d")
    client.publish(channel)
    subscription.ack(subscription.next().sequence)
    equal(subscription.end(close=True), b"", "response")
    client.publish(channel)
    subscription = client.subscribe(channel, durable="d")
    subscription.ack(subscription.next().sequence)
    subscription.end()
    equal(client.subscribe(channel, durable="d", start=FIRST).next().sequence, 1, "fresh")


@case("replace", 105)
def a_durable_can_be_replaced(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    old = client.subscribe(channel, durable="d")
    new = client.subscribe(channel, durable="d")
    client.publish(channel)
    equal(new.next().sequence, 1, "new")
    true(old.silent(), "the old one gets it too")
    refused("stan: invalid subscription", old.end, True)


# ---- unsubscribe and close (24.12) ----

@case("plain", 125)
def wrong_unsubscribes_are_refused(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel)
    equal(client.nats.request("_STAN.unsub.test-cluster", b""), encode((3, "stan: unknown channel")), "empty")
    for close in (False, True):
        refused("stan: unknown channel", subscription.end, close, channel="no.such")
        refused("stan: invalid subscription", subscription.end, close, inbox="nothing")
        refused("stan: unknown clientID", subscription.end, close, client_id="nobody")
    refused("unknown", client.close, client_id="nobody")
    subscription.end()
    refused("stan: invalid subscription", subscription.end)


@case("plain", 126)
def the_delivery_inbox_names_a_subscription_too(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel)
    subscription.end(close=True, inbox=subscription.inbox)
    client.publish(channel)
    true(subscription.silent(), "still there")


@case("plain", 129)
def after_a_close_nothing_comes_and_there_is_nothing_to_close(scene):
    """129, 130"""
    client, channel = scene.stan(), f"{scene.name}.c"
    subscription = client.subscribe(channel)
    client.publish(channel)
    subscription.next()
    subscription.end(close=True)
    client.publish(channel)
    true(subscription.silent(), "something came")
    refused("stan: invalid subscription", subscription.end, True)


# ---- heartbeats (24.3) ----

@case("beats", 23)
def who_answers_heartbeats_stays(scene):
    client = scene.stan()
    deadline = time.monotonic() + stan_client.WAIT
    while client.heartbeats < 8:
        true(time.monotonic() < deadline, "no heartbeats")
        time.sleep(0.02)
    equal(client.ping(), "", "ping")


@case("beats", 24)
def who_does_not_is_removed(scene):
    client = scene.stan(beats=False)
    subscription = client.subscribe(f"{scene.name}.c", durable="d")
    true(subscription.ack_inbox, "inbox")
    deadline = time.monotonic() + stan_client.WAIT
    while f"[Client:{scene.name}] Timed out on heartbeats" not in scene.server.log():
        true(time.monotonic() < deadline, "it stays")
        time.sleep(0.02)
    equal(client.ping(), "client has been replaced or is no longer registered", "ping")
    refused("stan: unknown clientID", client.subscribe, f"{scene.name}.c", durable="d")


@case("beats", 120)
def a_dead_members_messages_go_to_the_others(scene):
    channel = f"{scene.name}.c"
    dead = scene.stan("dead")
    member = dead.subscribe(channel, group="g", ack_wait=60)
    dead.publish_all(channel, [b"x"] * 5)
    member.next_all(5)
    dead.nats.close()
    live = scene.stan("live").subscribe(channel, group="g", ack_wait=60)
    equal(sorted(m.sequence for m in live.next_all(5)), [1, 2, 3, 4, 5], "moved")


# ---- monitoring (spec/monitoring.md 4) ----

def fetch_text(scene, path):
    port = re.findall(r"Starting http monitor on \S+:(\d+)", scene.server.log())[-1]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=stan_client.WAIT) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def fetch(scene, path):
    status, _, body = fetch_text(scene, path)
    return status, json.loads(body) if status == 200 else body


@case("monitor", "serverz")
def monitoring_tells_what_there_is(scene):
    """One case, because all count the same things."""
    client = scene.stan()
    one = client.subscribe("foo", in_flight=2)
    client.subscribe("bar", durable="d").end(close=True)
    client.subscribe("bar", group="g", durable="d", ack_wait=7)
    client.publish_all("foo", [b"hello"] * 3)
    one.next_all(2)
    server = fetch(scene, "/streaming/serverz")[1]
    wanted = {"cluster_id": "test-cluster", "version": "0.25.6", "state": "STANDALONE", "clients": 1, "subscriptions": 3,
              "channels": 2, "total_msgs": 3, "in_msgs": 3, "out_msgs": 2}
    equal({key: server.get(key) for key in wanted}, wanted, "serverz")
    true(server["total_bytes"] > 0 and server["in_bytes"] > server["out_bytes"] > 0, "bytes")
    true({"server_id", "go", "now", "start_time", "uptime"} <= set(server), "keys of serverz")
    with open(f"/proc/{scene.server.process.pid}/limits", encoding="ascii") as limits:
        most = int(re.search(r"Max open files +(\d+)", limits.read()).group(1))
    more = [scene.nats() for _ in range(10)]
    later = fetch(scene, "/streaming/serverz")[1]
    equal(later["max_fds"], most, "max_fds")
    true(later["open_fds"] >= server["open_fds"] + len(more), f"open_fds: {server['open_fds']}, {later['open_fds']}")
    store = fetch(scene, "/streaming/storez")[1]
    equal(store["limits"], {"max_channels": 100, "max_msgs": 1000000, "max_bytes": 1024000000, "max_age": 0,
                            "max_subscriptions": 1000, "max_inactivity": 0}, "limits")
    equal((store["type"], store["total_msgs"]), (Under.store, 3), "storez")
    equal(store["total_bytes"], server["total_bytes"], "bytes in both")
    clients = fetch(scene, "/streaming/clientsz?subs=1")[1]
    equal((clients["count"], clients["total"], clients["offset"], clients["limit"]), (1, 1, 0, 1024), "clientsz")
    told = clients["clients"][0]
    equal((told["id"], told["hb_inbox"], told["subs_count"]), (client.client_id, client.hb_inbox, 2), "client")
    equal(sorted(told["subscriptions"]), ["bar", "foo"], "channels of the client")
    equal(told["subscriptions"]["foo"], [{
        "client_id": client.client_id, "inbox": one.inbox, "ack_inbox": one.ack_inbox, "is_durable": False,
        "is_offline": False, "max_inflight": 2, "ack_wait": 30, "last_sent": 2, "pending_count": 2, "is_stalled": True}],
        "subscription")
    member = told["subscriptions"]["bar"][0]
    equal((member["queue_name"], member["is_durable"], member["ack_wait"]), ("d:g", True, 7), "member")
    equal(fetch(scene, f"/streaming/clientsz?client={client.client_id}")[1],
          {"id": client.client_id, "hb_inbox": client.hb_inbox, "subs_count": 2}, "one client")
    channels = fetch(scene, "/streaming/channelsz?limit=1&offset=1")[1]
    equal((channels["names"], channels["count"], channels["total"]), (["foo"], 1, 2), "names")
    foo = fetch(scene, "/streaming/channelsz?channel=foo&subs=1")[1]
    equal([foo[key] for key in ("name", "msgs", "first_seq", "last_seq")], ["foo", 3, 1, 3], "channel")
    equal(len(foo["subscriptions"]), 1, "its subscriptions")
    bar = fetch(scene, "/streaming/channelsz?channel=bar&subs=1")[1]["subscriptions"]
    equal(sorted((s["is_offline"], s["is_durable"]) for s in bar), [(False, True), (True, True)], "offline durables")
    equal(fetch(scene, "/streaming/channelsz?channel=no"), (404, "Channel no not found\n"), "no channel")
    equal(fetch(scene, "/streaming/clientsz?client=no"), (404, "Client no not found\n"), "no client")
    own = fetch(scene, "/subsz")[1]["num_subscriptions"]
    true(own >= 7, "the service's own subscriptions")
    if Under.myelin():
        equal(fetch(scene, "/varz")[1]["subscriptions"], own, "the same in varz")
        equal(stan_metrics.subscriptions(fetch_text(scene, "/metrics")[2]), [own, own], "the same in metrics")
        equal(stan_metrics.wrong(fetch_text(scene, "/metrics")[2], server, client.client_id), [], "metrics")


@case("monitor", "isFTActive")
def a_server_alone_is_no_active_one_and_its_index_leads_to_the_pages(scene):
    status, headers, body = fetch_text(scene, "/streaming/isFTActive")
    equal((status, body, headers.get("Content-Length")), (204, "", None), "isFTActive")
    status, headers, body = fetch_text(scene, "/streaming")
    equal((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"), "index")
    for page in ("serverz", "storez", "clientsz", "channelsz"):
        true(re.search(fr'href="?\./streaming/{page}"?>', body), f"no link to {page}")


SERVERS = {
    "plain": {},
    "replace": {"flags": ["-replace_durable"]},
    "beats": {"flags": ["-hbi", "150ms", "-hbt", "500ms", "-hbf", "2"]},
    "limits": {"config": LIMITS},
    "monitor": {"flags": ["-m", "-1"]},
}


def run_case(server, number, function):
    scene = Scene(server, f"{function.__name__[:40]}-{number}")
    try:
        function(scene)
        return None
    except Exception as error:  # pylint: disable=broad-except
        return f"{type(error).__name__}: {error}"
    finally:
        scene.end()


def run_group(group, only):
    cases = [(n, f) for n, f in GROUPS[group] if only is None or only in f.__name__]
    if not cases:
        return 0, 0
    passed = failed = 0
    server = Server(**SERVERS[group])
    try:
        with concurrent.futures.ThreadPoolExecutor(1 if group == "limits" else 12) as pool:
            futures = [(n, f, pool.submit(run_case, server, n, f)) for n, f in cases]
            for number, function, future in futures:
                wrong = future.result()
                passed, failed = passed + (wrong is None), failed + (wrong is not None)
                if wrong is not None:
                    print(f"FAILED {number} {function.__name__}: {wrong}")
        true(server.process.poll() is None, f"the server of {group} has ended:\n{server.log()[-3000:]}")
    finally:
        server.stop(signal.SIGKILL)
        server.remove()
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--only", help="cases with this word in their name")
    parser.add_argument("--store", default="MEMORY", choices=("MEMORY", "FILE"))
    options = parser.parse_args()
    Under.binary, Under.store = os.path.abspath(options.binary), options.store
    passed = failed = 0
    for group in GROUPS:
        done = run_group(group, options.only)
        passed, failed = passed + done[0], failed + done[1]
    if options.only is None:
        stan_process.process_cases()
        passed += 1
        if Under.myelin():
            stan_process.another_of_the_same_id_is_found()
            passed += 1
    print(f"streaming with {Under.store}: {passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
