#!/usr/bin/env python3
"""Raft groups by channel with real processes (docs/streaming-cluster.md 10): channels shared out between groups, their
leaders spread over the nodes, one of them killed while the others go on, members that follow the first group's, and
what another number of groups is told. The worlds are those of test_streaming_cluster.py.

usage: test_streaming_groups.py SERVER_BINARY [--long] [--only WORD] [--kills N] [--seed N] [--jobs N]
"""
import queue
import random
import signal
import sys

import test_streaming_cluster as cluster
from stan_client import FIRST, Refused
from test_streaming_cluster import (OPTIONS, WAIT, Failure, Publisher, World, case, check_published, equal, read_all,
                                    wait_for)

GROUPS = 3
cluster.CASES.clear()


def group_of(channel, groups=GROUPS):
    """As shards/streaming/groups.c."""
    value = 0xcbf29ce484222325
    for byte in channel.lower().encode():
        value = (value ^ byte) * 0x100000001b3 % 2**64
    value ^= value >> 32
    return (value * 0x9e3779b97f4a7c15 % 2**64 >> 32) % groups


CHANNELS = [f"orders.{i}" for i in range(9)]


def groups_of(node):
    return node.server().get("groups", [])


def led_by(node):
    return [page["group"] for page in groups_of(node) if page["role"] == "Leader"]


class Groups(World):
    def __init__(self, names, cluster_text="", timeout_ms=1500, groups=GROUPS, **more):
        super().__init__(names, cluster=(cluster_text or "peers: [" + ", ".join(names) + "], ") + f"groups: {groups},",
                         timeout_ms=timeout_ms, **more)

    def spread(self):
        """{group: its leader}, once each is where it is to be: voters in order of their ids, one after the other."""
        def found():
            leaders = {}
            for node in self.nodes:
                for page in groups_of(node):
                    if page["role"] == "Leader":
                        voters = sorted((m["raft_id"], m["node_id"]) for m in page["raft"]["members"] if m["voter"])
                        if len(voters) == len(self.nodes) and voters[page["group"] % len(voters)][1] == node.name:
                            leaders[page["group"]] = node
            return leaders if len(leaders) == GROUPS else None
        return wait_for(found, "each group's leader is where it is to be")

    def level_groups(self):
        """In each group all have applied the same, which is all."""
        def same():
            pages = [groups_of(node) for node in self.nodes if node.alive()]
            return all(len({page[group]["raft"]["applied_index"] for page in pages}) == 1 and
                       max(page[group]["raft"]["last_index"] for page in pages) ==
                       pages[0][group]["raft"]["applied_index"] for group in range(GROUPS))
        wait_for(same, "all nodes applied the same in all groups")


    def terms(self):
        return [[page["raft"]["term"] for page in groups_of(node)] for node in self.nodes]

    def undisturbed(self, body):
        """What is promised while leaders stay: when a slow machine has changed one meanwhile, it is done once more, from
        the number that it is given on."""
        for attempt in range(9):
            self.spread()
            before = self.terms()
            try:
                return body(attempt)
            except (Failure, Refused, TypeError, ValueError, queue.Empty):
                if self.terms() == before:
                    raise
        raise Failure("leaders never stayed")


def numbers(messages):
    return [int(m.data) for m in messages]


# ---- cases ----

@case
def channels_and_leaders_are_spread_and_clients_notice_nothing():
    world = Groups(["a", "b", "c"])
    world.start()
    world.undisturbed(lambda attempt: all_channels(world, attempt))
    world.level_groups()
    for node in world.nodes:
        pages = groups_of(node)
        names = (node.page("channelsz") or {})["names"]
        for page in pages:
            equal(page["channels"], sum(group_of(name) == page["group"] for name in names), f"group {page['group']}")
            equal([m["voter"] for m in page["raft"]["members"]], [True] * 3, "members")
    return world


def all_channels(world, attempt):
    channels = [f"orders.{attempt}.{i}" for i in range(9)]
    equal({group_of(channel) for channel in channels}, set(range(GROUPS)), "groups of the channels")
    client = world.stan(f"me-{attempt}")
    subscriptions = {channel: client.subscribe(channel, start=FIRST, auto=True) for channel in channels}
    waiting = [client.publish_later(channel, b"%d" % i) for i in range(30) for channel in channels]
    equal({done.get(timeout=WAIT) for done in waiting}, {""}, "acknowledgements")
    for channel, subscription in subscriptions.items():
        equal(numbers(subscription.next_all(30)), list(range(30)), channel)
        if not subscription.silent(0.01):
            raise Failure(f"{channel} has more than was published")
    equal(client.ping(), "", "ping")
    error = client.publish_later(channels[0].upper(), b"x").get(timeout=WAIT)
    equal(error.startswith("rejecting channel"), True, f"a channel that differs in case only: {error}")
    client.close()
    for node in world.nodes:
        for channel in channels:
            wait_for(lambda: (node.page(f"channelsz?channel={channel}") or {}).get("subs_count") == 0,
                     f"{node.name} has no subscriptions of {channel} any more")


@case
def a_client_that_has_its_answer_is_known_everywhere():
    """One after the other takes the same id: connected, it may do all at once; closed, nothing is left of it."""
    world = Groups(["a", "b", "c"])
    world.start()
    world.undisturbed(lambda attempt: lives(world, attempt))
    return world


def lives(world, attempt):
    channels = [f"lives.{attempt}.{i}" for i in range(5)]
    nats, name = world.nats(), f"again-{attempt}"
    for life in range(8):
        client = cluster.Stan(nats, name, connection_id=b"life-%d-%d" % (attempt, life))
        waiting = [client.publish_later(channel, b"%d" % life) for channel in channels]
        for channel in channels: # one that somebody holds would be refused
            client.subscribe(channel, durable="d")
        equal({done.get(timeout=WAIT) for done in waiting}, {""}, "acknowledgements")
        if life % 2 == 0:
            client.close()
        else: # the next one finds a holder that is gone
            nats.close()
            nats = world.nats()
    other = world.stan(f"other-{attempt}")
    for client_id, error in (("nobody", "stan: invalid publish request"), (other.client_id, "")):
        for channel in channels:
            done = other.publish_later(channel, b"x", client_id=client_id, connection_id=b"")
            equal(done.get(timeout=WAIT), error, f"publish of {client_id}")


@case
def a_group_whose_leader_is_lost_moves_and_the_others_go_on():
    return kill_leaders(1)


@case(long=True)
def groups_survive_many_deaths():
    return kill_leaders(20)


def kill_leaders(kills):
    world = Groups(["a", "b", "c"], 'peers: [a, b, c], trailing_logs: 50, snapshot_entries: 300, ')
    choice = random.Random(OPTIONS.seed)
    world.start()
    client = world.stan("publisher")
    channels = [next(c for c in CHANNELS if group_of(c) == group) for group in range(GROUPS)]
    publishers = [Publisher(client, channel, window=2) for channel in channels]
    for publisher in publishers:
        publisher.start()
    for _ in range(kills):
        leaders = world.spread()
        for publisher in publishers: # what was lost on the way there is known by then
            publisher.moves()
        group = choice.randrange(GROUPS)
        terms = [term_of(leaders[other], other) for other in range(GROUPS)]
        for publisher in publishers:
            publisher.errors.clear()
        leaders[group].kill()
        for publisher in publishers:
            publisher.moves()
        for other, publisher in enumerate(publishers):
            errors = publisher.errors - {"nothing"} # which a slow machine may give
            if other != group and errors and term_of(leaders[other], other) == terms[other]:
                raise Failure(f"group {other} lost nobody, and its publishers are told {errors}")
        leaders[group].start()
        for publisher in publishers:
            publisher.moves(choice.randrange(50))
    world.spread()
    for publisher in publishers:
        publisher.stop()
    world.level_groups()
    reader = world.stan("reader")
    for publisher, channel in zip(publishers, channels):
        last = {node.channel(channel)[1] for node in world.nodes}
        equal(len(last), 1, f"last sequences of {channel}: {last}")
        check_published(read_all(reader, channel, last.pop()), publisher)
    return world


def term_of(node, group):
    return groups_of(node)[group]["raft"]["term"]


@case(long=True)
def members_of_all_groups_follow_the_first_one():
    world = Groups(["a", "b", "c"], "allow_add_remove_node: true, ")
    seed, joiner, other = world.nodes
    seed.start("bootstrap: true, allow_add_remove_node: true, groups: 3,")
    wait_for(lambda: len(led_by(seed)) == GROUPS, "the seed leads all groups")
    client = world.stan("me")
    for channel in CHANNELS:
        client.publish(channel, b"1")
    joiner.start()
    other.start()
    def members(names):
        return lambda: all(
            sorted(m["node_id"] for m in page["raft"]["members"] if m["voter"]) == names
            for node in world.nodes if node.name in names for page in groups_of(node) or [{"raft": {"members": []}}])
    wait_for(members(["a", "b", "c"]), "all vote in all groups")
    world.spread()
    victim = next(node for node in world.nodes if 0 not in led_by(node))
    nats = world.nats()
    equal(wait_for(lambda: nats.request("_STAN.raft.test-cluster.node.remove", victim.name.encode()), "an answer"), b"+OK",
          "node.remove")
    left = sorted({"a", "b", "c"} - {victim.name})
    wait_for(members(left), "it is no member of any group")
    victim.kill()
    for channel in CHANNELS:
        cluster.publish(client, channel, b"2")
        equal(numbers(read_all(client, channel, 2))[:1], [1], channel)
    return world


@case
def another_number_of_groups_is_refused():
    world = Groups(["a", "b"], "bootstrap: true, ")
    node, joiner = world.nodes
    node.start()
    wait_for(lambda: len(led_by(node)) == GROUPS, "it leads all groups")
    def told(): # it gives up by itself when nobody has heard it for ten seconds
        joiner.start("groups: 2,")
        equal(joiner.process.wait(timeout=WAIT), 1, "exit code of who joins")
        return 'node "a" has 3 groups of channels, and this one 2' in joiner.log()
    wait_for(told, "the one that joins says why")
    node.kill(signal.SIGTERM)
    node.start("bootstrap: true,")
    equal(node.process.wait(timeout=WAIT) != 0, True, "exit code")
    if "the store has its channels in 3 groups, and cluster { groups } is 1" not in node.log():
        raise Failure("it does not say why")
    return world


if __name__ == "__main__":
    sys.exit(cluster.main())
