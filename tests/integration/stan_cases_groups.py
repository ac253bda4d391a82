"""Cases of NATS Streaming's checklist: queue groups. Part of test_streaming.py."""
import queue
import time

import stan_client
from stan_cases import case, equal, true
from stan_client import FIRST, NEW_ONLY


@case("plain", 109)
def a_group_shares(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    members = [client.subscribe(channel, group="g", auto=True) for _ in range(5)]
    client.publish_all(channel, [b"x"] * 2000)
    seen = []
    deadline = time.monotonic() + stan_client.WAIT
    while len(seen) < 2000:
        true(time.monotonic() < deadline, f"{len(seen)} of 2000 arrived")
        for member in members:
            try:
                while True:
                    seen.append(member.messages.get(timeout=0.01).sequence)
            except queue.Empty:
                pass
    equal(sorted(seen), list(range(1, 2001)), "each once")


@case("plain", 110)
def a_group_and_its_durable_namesake_are_two(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    one = client.subscribe(channel, group="bar")
    two = client.subscribe(channel, group="bar", durable="d")
    client.publish(channel)
    equal((one.next().sequence, two.next().sequence), (1, 1), "both")


@case("plain", 111)
def who_joins_goes_on_where_the_group_is(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    client.publish_all(channel, [b"x"] * 5)
    first = client.subscribe(channel, group="g", start=FIRST)
    for message in first.next_all(5):
        first.ack(message.sequence)
    second = client.subscribe(channel, group="g", start=FIRST)
    true(second.silent(), "from the beginning once more")
    first.end()
    second.end()
    third = client.subscribe(channel, group="g", start=FIRST)
    equal(third.next().sequence, 1, "a new group")


@case("plain", 113)
def a_durable_group_outlives_its_members(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    member = client.subscribe(channel, group="g", durable="d", start=FIRST)
    client.publish_all(channel, [b"x"] * 3)
    for message in member.next_all(3):
        if message.sequence < 3:
            member.ack(message.sequence)
    member.end(close=True)
    client.publish(channel)
    member = scene.stan("2").subscribe(channel, group="g", durable="d", start=NEW_ONLY)
    first, second = member.next_all(2)
    equal((first.sequence, first.redelivered), (3, True), "pending")
    equal((second.sequence, second.redelivered), (4, False), "new")
    member.end()
    member = client.subscribe(channel, group="g", durable="d", start=FIRST)
    equal(member.next().redelivered, False, "after unsubscribe it begins anew")


@case("plain", 114)
def a_stalled_member_does_not_stall_the_group(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    slow = client.subscribe(channel, group="g", in_flight=1)
    fast = client.subscribe(channel, group="g", auto=True)
    client.publish_all(channel, [b"x"] * 50)
    slow.next()
    fast.next_all(49)
    true(slow.silent(), "beyond its window")
    fast.end()
    client.publish_all(channel, [b"x"] * 2)
    true(slow.silent(), "beyond its window when alone")
    slow.ack(1 if slow.messages.empty() else 0)
    for sequence in range(1, 51):
        slow.ack(sequence)
    slow.next()


@case("plain", 116)
def who_leaves_leaves_its_messages_to_the_others(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    leaving = client.subscribe(channel, group="g", ack_wait=1000)
    client.publish_all(channel, [b"x"] * 20)
    leaving.next_all(20)
    staying = client.subscribe(channel, group="g", ack_wait=1000)
    leaving.end()
    messages = staying.next_all(20)
    equal(sorted(m.sequence for m in messages), list(range(1, 21)), "moved")
    true(all(m.redelivered for m in messages), "flags")


@case("plain", 118)
def members_that_died_with_messages_get_all_when_they_are_back(scene):
    channel = f"{scene.name}.c"
    more = {"group": "g", "durable": "d", "in_flight": 1, "ack_wait": 60}
    members = [scene.stan(f"-{i}") for i in range(2)]
    first = [member.subscribe(channel, **more) for member in members]
    scene.stan("-publisher").publish_all(channel, [b"x"] * 20)
    for subscription in first:
        subscription.next()
    for member in members:
        member.nats.close()
    back = [scene.stan(f"-{i}", connection_id=b"again%d" % i).subscribe(channel, **more) for i in range(2)]
    seen, deadline = set(), time.monotonic() + stan_client.WAIT
    while len(seen) < 20:
        true(time.monotonic() < deadline, f"only {seen}")
        for subscription in back:
            try:
                sequence = subscription.messages.get(timeout=0.01).sequence
            except queue.Empty:
                continue
            seen.add(sequence)
            subscription.ack(sequence)
    equal(seen, set(range(1, 21)), "all")


@case("plain", 119)
def a_late_ack_counts_where_the_message_is_now(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    one = client.subscribe(channel, group="g", ack_wait=1)
    client.publish(channel)
    one.next()
    two = client.subscribe(channel, group="g", ack_wait=1)
    moved = two.next()
    equal((moved.sequence, moved.redelivered, moved.count), (1, True, 1), "moved")
    one.ack(1)
    true(two.silent(1.4) and one.silent(), "acknowledged by the first, and comes again")


@case("plain", 121)
def counts_go_on_over_all_members(scene):
    client, channel = scene.stan(), f"{scene.name}.c"
    arrivals = queue.Queue()
    for _ in range(2):
        member = client.subscribe(channel, group="g", ack_wait=1)
        member.messages = arrivals
    client.publish(channel)
    equal([arrivals.get(timeout=stan_client.WAIT).count for _ in range(4)], [0, 1, 2, 3], "counts")


@case("plain", 123)
def what_a_closed_client_owed_goes_to_the_other_member(scene):
    channel = f"{scene.name}.c"
    more = {"group": "g", "durable": "d", "in_flight": 200, "ack_wait": 60}
    leaving = scene.stan("-leaving")
    member = leaving.subscribe(channel, **more)
    leaving.publish_all(channel, [b"x"] * 100)
    member.next_all(100)
    staying = scene.stan("-staying").subscribe(channel, **more)
    leaving.close()
    messages = staying.next_all(100)
    equal(sorted(m.sequence for m in messages), list(range(1, 101)), "moved")
    true(all(m.redelivered and m.count == 1 for m in messages), "flags")
