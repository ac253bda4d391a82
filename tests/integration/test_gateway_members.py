#!/usr/bin/env python3
"""tests/integration/test_gateway_members.py SERVER - one node of a cluster of several, as scripted peers see it who are its
routes and its gateway connections: the rows of spec/gateways.md 21 that stand on both (numbers in the names), and what of
sections 13 to 16 a peer can bring about. Runs against nats-server too, for proof of the rows.
"""
import base64
import os
import re
import select
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_gateways  # noqa: E402
import test_routes  # noqa: E402
from cluster_client import WAIT_SECONDS, Client, Failure, pump, until_said  # noqa: E402
from test_gateways import (command, connect_line, expect, hash_of, info_line, info_of, peer_has_taken, quiet,  # noqa: E402
                           told_until_end_of)

MEMBER = "M" * 56


def route_info(letter="M", **more):
    return test_routes.info_line(letter * 56, "GA", **more)


def gossip(gateway, port, server_id="GW" + MEMBER):
    """What a member says of another cluster."""
    return info_line(gateway, port, server_id=server_id, gateway_cmd=1)


def lines_until(peer, wanted):
    """What the peer is told up to that line, and the line."""
    lines = []
    while not lines or lines[-1] != wanted:
        line = peer.line()
        if line is None:
            raise Failure(f"it ended before {wanted}: {lines[-5:]}")
        lines.append(line)
    return lines


def member(world, letter="M", **more):
    """A route, registered, and what it was told."""
    peer = world.dial(world.node.cluster_port)
    peer.send(test_routes.connect_line(letter * 56, "GA") + route_info(letter, **more))
    mark = Client(world.node)
    mark.subscribe(f"mark.{letter}")
    peer.burst = lines_until(peer, b"RS+ APP mark.%s" % letter.encode())
    mark.close()
    peer.burst += lines_until(peer, b"RS- APP mark.%s" % letter.encode())
    return peer


def another(world):
    """A listener for one more cluster or node, that ends with the case."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WAIT_SECONDS)
    world.peers.append(listener)
    return listener


def listing(peer, *patterns):
    """The peer lists all that it wants."""
    wanted = b"".join(b"RS+ APP %s\r\n" % pattern.encode() for pattern in patterns)
    peer.send(command(2, "APP") + wanted + command(3, "APP") + b"PING\r\n")
    peer_has_taken(peer)


def next_message(peer, line, body=b"x"):
    """The next RMSG or HMSG of the account."""
    expect(peer.until(r"^[RH]MSG APP ").string, line)
    expect(peer.body(len(body)), body)


def handled(peer):
    if not peer.open_after(b""):
        raise Failure("the connection went")


class Told:
    """What an inbound connection makes of what it is told, as a nats-server would."""

    def __init__(self):
        self.plain, self.groups, self.states = set(), set(), {}

    def take(self, line):
        words = line.split(b" ", 2)
        if words[0] == b"INFO" and b'"gateway_cmd_payload"' in line:
            info = info_of(line)
            self.states[base64.b64decode(info["gateway_cmd_payload"]).decode()] = info["gateway_cmd"]
        elif words[:2] in ([b"RS+", b"APP"], [b"RS-", b"APP"]):
            pattern = re.sub(rb" 1$", b"", words[2])
            known = self.groups if b" " in pattern else self.plain
            if words[0] == b"RS-":
                known.discard(pattern)
            elif known is self.groups or "APP" in self.states:  # before the list begins it would not be heard
                known.add(pattern)


def row_15_long_lists_while_they_change(world):
    """More than is told in one turn, most of it of a member; it changes while it is told."""
    count, mine = 60000, range(300)
    client, route = Client(world.node), member(world)
    sids = [client.subscribe(f"long.{n}") for n in mine]
    for n in mine:
        client.subscribe(f"long.{n}", "q")
    route.send(b"".join(b"RS+ APP long.%d\r\n" % n for n in range(count)))
    route.send(b"".join(b"RS+ APP long.%d q 1\r\n" % n for n in range(200, 500)))
    client.flush()
    handled(route)
    gateway, _ = world.inbound()
    told = Told()
    while "APP" not in told.states:
        line = gateway.line()
        if line is None:
            raise Failure("it ended before the list")
        told.take(line)
    # Not there any more, but here; not here any more, but there; not there any more either.
    moves, ends = range(10000, 20000), range(0, 300, 2)
    client.send(b"".join(b"SUB long.%d m%d\r\n" % (n, n) for n in moves))
    route.send(b"".join(b"RS- APP long.%d\r\n" % n for n in moves))
    client.send(b"".join(b"UNSUB %d\r\n" % sids[n] for n in ends))
    route.send(b"".join(b"RS- APP long.%d\r\n" % n for n in ends[::2]))
    client.subscribe("done.here")  # what is told of one server or shard is in order: so these are last
    route.send(b"RS+ APP done.there\r\n")
    plain = {b"long.%d" % n for n in set(range(count)) - set(ends[::2])} | {b"done.here", b"done.there"}
    groups = {b"long.%d q" % n for n in range(500)}
    states = dict.fromkeys(("$G", "$SYS", "APP", "OTHER", "SVC", "CLI"), 3)
    while (told.states, told.plain, told.groups) != (states, plain, groups):
        line = gateway.line()
        if line is None:
            raise Failure("it ended")
        told.take(line)
    quiet(gateway, client)


def row_20_a_member_wants(world):
    """Told is what the whole cluster wants, once."""
    gateway, _ = world.inbound()
    told_until_end_of(gateway, "APP")
    route, client = member(world), Client(world.node)
    gateway.until("^RS- APP mark.M")
    route.send(b"RS+ APP of.member\r\nRS+ APP of.group q 5\r\n")
    expect(sorted([gateway.line(), gateway.line()]), [b"RS+ APP of.group q 1", b"RS+ APP of.member"])
    mine, group = client.subscribe("of.member"), client.subscribe("of.group", "q")
    quiet(gateway, client)
    route.send(b"RS- APP of.member\r\nRS- APP of.group q\r\n")
    handled(route)
    quiet(gateway, client)
    client.unsubscribe(mine)
    expect(gateway.line(), b"RS- APP of.member")
    client.unsubscribe(group)
    expect(gateway.line(), b"RS- APP of.group q")
    route.send(b"RS+ APP of.member\r\n")
    expect(gateway.line(), b"RS+ APP of.member")
    route.close()  # and all it wanted is gone
    expect(gateway.until("of.member").string, b"RS- APP of.member")


def row_21_26_one_hop(world):
    """From a gateway to the routes and no other gateway, from a route to no gateway."""
    out, _ = world.outbound()
    listing(out, "m.>")
    into, _ = world.inbound("GX", name="X")
    told_until_end_of(into, "APP")
    route, client = member(world), Client(world.node)
    client.subscribe("m.*")
    into.until(r"^RS\+ APP m\.\*$")
    route.send(b"RS+ APP m.*\r\nRS+ APP m.* q 1\r\n")
    into.until(r"^RS\+ APP m\.\* q 1$")
    handled(route)
    route.buffer = b""
    into.send(b"RMSG APP m.1 1\r\nx\r\nRMSG APP m.2 | q 1\r\nx\r\nHMSG APP m.3 rep 12 13\r\nNATS/1.0\r\n\r\nx\r\n")
    next_message(route, b"RMSG APP m.1 1")
    next_message(route, b"RMSG APP m.2 | q 1")
    next_message(route, b"HMSG APP m.3 rep 12 13", b"NATS/1.0\r\n\r\nx")
    route.send(b"RMSG APP m.4 1\r\nx\r\n")
    pump([client], lambda: len(client.messages) == 4)
    client.publish("m.end", b"x")
    next_message(out, b"RMSG APP m.end 1")
    next_message(route, b"RMSG APP m.end | q 1")


row_21_26_one_hop.dials = True


def row_38_each_group_by_itself(world):
    """The one that a member has is served there, the other one by the other cluster."""
    out, _ = world.outbound()
    route, client = member(world), Client(world.node)
    out.send(b"RS+ APP two g 1\r\nRS+ APP two g2 1\r\nPING\r\n")
    peer_has_taken(out)
    route.send(b"RS+ APP two g 1\r\nPING\r\n")
    peer_has_taken(route)
    client.publish("two", b"x")
    next_message(route, b"RMSG APP two | g 1")
    next_message(out, b"RMSG APP two | g2 1")
    route.send(b"RS- APP two g\r\nPING\r\n")
    peer_has_taken(route)
    client.publish("two", b"x", "rep")
    line = out.until("^RMSG APP two ").string
    if line not in (b"RMSG APP two + rep g g2 1", b"RMSG APP two + rep g2 g 1"):
        raise Failure(f"{line}")


row_38_each_group_by_itself.dials = True


def row_39_members_share_what_comes_in(world):
    """By weight: one here, as many as it says at another node."""
    gateway, _ = world.inbound()
    told_until_end_of(gateway, "APP")
    route, client = member(world), Client(world.node)
    client.subscribe("shared", "q")
    for weight in (1, 3):
        route.send(b"RS+ APP shared q %d\r\nRS+ APP weight.%d\r\n" % (weight, weight))
        gateway.until(f"weight.{weight}")
        client.messages.clear()
        route.buffer = b""
        gateway.send(b"RMSG APP shared | q 1\r\nx\r\n" * 400)
        away = [0]

        def all_came():
            if select.select([route.socket], [], [], 0)[0]:
                route.more()
            away[0] = route.buffer.count(b"RMSG APP shared | q 1\r\n")
            return away[0] + len(client.messages) >= 400

        pump([client], all_came)
        handled(gateway)
        client.flush()
        expect(away[0] + len(client.messages), 400)
        share = weight / (weight + 1)
        if abs(away[0] - 400 * share) > 6 * (400 * share * (1 - share)) ** 0.5:  # six standard deviations
            raise Failure(f"{away[0]} of 400 went to the member with weight {weight}")


def row_46_answers_for_a_member(world):
    """They go on as they are, by the route to the server that the subject names; what comes by a route is for here."""
    gateway, first = world.inbound()
    told_until_end_of(gateway, "APP")
    route, client = member(world), Client(world.node)
    client.subscribe("ib.*")
    for peer in (gateway, route):
        peer.until(r"^RS\+ APP ib")
    away = f"_GR_.{hash_of('GA')}.{hash_of(MEMBER)}.ib.1".encode()
    gateway.send(b"RMSG APP %s 1\r\nx\r\nHMSG APP %s 12 13\r\nNATS/1.0\r\n\r\nx\r\nRMSG APP %s re.ply 1\r\nx\r\n" % ((away,) * 3))
    next_message(route, b"RMSG APP %s 1" % away)
    next_message(route, b"HMSG APP %s 12 13" % away, b"NATS/1.0\r\n\r\nx")
    next_message(route, b"RMSG APP %s re.ply 1" % away)
    route.send(b"RMSG APP _GR_.%s.%s.ib.2 1\r\nx\r\n" % (hash_of("GA").encode(), hash_of(first["server_id"]).encode()))
    pump([client], lambda: client.messages)
    expect([m.subject for m in client.messages], ["ib.2"])


def row_49_who_else_wants_the_answer(world):
    """It goes on to other clusters that want it, but for what answers a service."""
    out, _ = world.outbound()
    listing(out, "ib.>", "_R_.>")
    into, first = world.inbound("GX", name="X")
    told_until_end_of(into, "APP")
    client = Client(world.node)
    client.subscribe("ib.*")
    into.until(r"^RS\+ APP ib")
    own = f"_GR_.{hash_of('GA')}.{hash_of(first['server_id'])}.".encode()
    into.send(b"RMSG APP %s_R_.abcdef.x 1\r\nx\r\nRMSG APP %sib.1 1\r\nx\r\n" % (own, own))
    next_message(out, b"RMSG APP ib.1 1")
    pump([client], lambda: client.messages)
    expect([m.subject for m in client.messages], ["ib.1"])


row_49_who_else_wants_the_answer.dials = True


def row_50_the_reply_to_a_reply(world):
    out, into = world.both(lists=False)
    first = info_of(world.dial().line())
    client = Client(world.node)
    client.subscribe("work")
    into.until(r"^RS\+ APP work")
    away = f"_GR_.{hash_of('GF')}.abcdef._INBOX.1".encode()
    into.send(b"RMSG APP work %s 1\r\nx\r\n" % away)
    pump([client], lambda: client.messages)
    client.subscribe("r2")
    client.publish("_INBOX.1", b"x", "r2")
    next_message(out, b"RMSG APP %s _GR_.%s.%s.r2 1" % (away, hash_of("GA").encode(), hash_of(first["server_id"]).encode()))


row_50_the_reply_to_a_reply.dials = True


def row_51_reserved_replies(world):
    client = Client(world.node)
    client.publish("foo", b"", "_GR_.abcdef.abcdef.x")
    client.flush()
    expect(client.errors, [b"-ERR 'Permissions Violation for Publish with Reply of \"_GR_.abcdef.abcdef.x\"'"])


def row_58_gossip_over_routes(world):
    """Members hear of a cluster when it is reached, later ones when they come; and what they say is heard."""
    early = member(world)
    world.outbound()
    info = info_of(early.until('^INFO .*"gateway_cmd":1').string)
    own = info["server_id"]
    expect((info["server_name"], info["gateway"], info["gateway_urls"]), ("A", "GF", [f"127.0.0.1:{world.port}"]))
    if not re.fullmatch(r"GW[A-Z0-9]{56}", own):
        raise Failure(f"the id is {own}")
    late = member(world, "L")
    lines = [line for line in late.burst if re.match(rb'INFO .*"gateway_cmd":1', line)]
    info = info_of(lines[0] if lines else late.until('^INFO .*"gateway_cmd":1').string)
    expect((info["server_id"], info["server_name"], info["gateway"]), (own, "", "GF"))
    listener = another(world)
    late.send(gossip("GX", listener.getsockname()[1]))
    found = world.keep(listener.accept()[0])
    found.send(info_line("GX", listener.getsockname()[1], name="X"))
    found.until("^CONNECT ")
    expect(info_of(found.line())["gateway"], "GA")
    handled(late)


row_58_gossip_over_routes.dials = True


def row_59_members_come_and_go(world):
    """Other clusters hear where else this one is; an address that two members have is there until both are gone."""
    gateway, first = world.inbound()
    told_until_end_of(gateway, "APP")
    own = first["gateway_url"]

    def told(*urls):
        info = info_of(gateway.until('^INFO .*"gateway_url":').string)
        expect((sorted(info["gateway_urls"]), info["gateway"], info.get("gateway_cmd")), (sorted([own, *urls]), "GA", None))

    one = member(world, "M", gateway_url="127.0.0.1:5")
    told("127.0.0.1:5")
    two = member(world, "N", gateway_url="127.0.0.1:5")
    three = member(world, "O", gateway_url="127.0.0.1:6")
    told("127.0.0.1:5", "127.0.0.1:6")
    one.close()
    three.close()
    told("127.0.0.1:5")
    two.close()
    told()
    expect(info_of(world.dial().line())["gateway_urls"], [own])


def row_76_forgotten_and_found(world):
    """A cluster that nobody configured is forgotten when no address of it answers, and comes back when it dials."""
    listener, looks = another(world), []
    port = listener.getsockname()[1]

    def comes(to):
        peer = world.dial()
        peer.line()
        peer.send(connect_line("GX", name="X" * 56) + info_line("GX", to.getsockname()[1], name="X"))
        back = world.keep(to.accept()[0])
        back.send(info_line("GX", to.getsockname()[1], name="X"))
        back.until("^CONNECT ")
        return peer, back

    def told_of():
        """Whether a new dialler of GY hears of GX."""
        peer, _ = world.inbound("GY", name="Y", gateway_urls=[])
        lines = told_until_end_of(peer, "APP")
        client = Client(world.node)
        looks.append(None)
        client.subscribe(f"told.{len(looks)}")  # the last one's may still be there
        lines += lines_until(peer, b"RS+ APP told.%d" % len(looks))
        handled(peer)
        lines.append(peer.buffer)
        client.close()
        peer.close()
        return any(b'"gateway":"GX"' in line for line in lines)

    peer, back = comes(listener)
    expect(told_of(), True)
    listener.close()
    for one in (peer, back):
        one.close()
    known = [True]

    def look():
        known[0] = told_of()

    pump([], lambda: not known[0], look, 0.1)
    listener = another(world)
    expect(listener.getsockname()[1] != port, True)
    comes(listener)


def row_16_an_address_that_does_not_answer(world):
    """The link works one way, from there to here, until the address answers."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    peer = world.dial()
    peer.line()
    peer.send(connect_line("GX", name="X" * 56) + info_line("GX", port, name="X"))
    told_until_end_of(peer, "APP")
    until_said(world.node, re.escape(f'Error connecting to implicit gateway "GX" (127.0.0.1:{port})'))
    client = Client(world.node)
    client.subscribe("one.way")
    expect(peer.until("one.way").string, b"RS+ APP one.way")
    peer.send(b"RMSG APP one.way 1\r\nx\r\n")
    pump([client], lambda: client.messages)
    silent.listen()
    silent.settimeout(WAIT_SECONDS)
    world.peers.append(silent)
    back = world.keep(silent.accept()[0])
    back.send(info_line("GX", port, name="X"))
    back.until("^CONNECT ")


def row_16_rejected_clusters_are_not_dialled(world):
    """With reject_unknown other clusters are not believed what they say of further ones; members of the own one are."""
    by_gateway, by_route = another(world), another(world)
    out, _ = world.outbound()
    out.send(gossip("GX", by_gateway.getsockname()[1], "F" * 56))
    handled(out)
    route = member(world)
    route.send(gossip("GY", by_route.getsockname()[1]))
    by_route.accept()[0].close()
    if select.select([by_gateway], [], [], 0)[0] or 'implicit gateway "GX"' in world.node.said():
        raise Failure("it was dialled")


row_16_rejected_clusters_are_not_dialled.dials = True
row_16_rejected_clusters_are_not_dialled.extra = "reject_unknown: true"


def row_15_gossip_of_a_dialler(world):
    """What an inbound connection says of other clusters is not heard."""
    listener = another(world)
    into, _ = world.inbound("GY", name="Y", gateway_urls=[])
    told_until_end_of(into, "APP")
    into.send(gossip("GX", listener.getsockname()[1], "Y" * 56))
    try:
        into.open_after(b"")  # it may stay or go
    except OSError:
        pass
    other = another(world)
    into, _ = world.inbound("GZ", name="Z", gateway_urls=["127.0.0.1:%d" % other.getsockname()[1]])
    other.accept()[0].close()  # which is what would have come of the other one before
    if select.select([listener], [], [], 0)[0]:
        raise Failure("it was dialled")


def row_13_lame_duck(world):
    """Other clusters hear nothing of it, and are served until the end."""
    out, into = world.both()
    listing(out, "after")
    client = Client(world.node)
    client.subscribe("before")
    into.until(r"^RS\+ APP before$")
    world.node.process.send_signal(signal.SIGUSR2)
    pump([client], lambda: b'"ldm":true' in client.info)
    quiet(into, client)
    client.subscribe("still")
    expect(into.line(), b"RS+ APP still")
    client.publish("after", b"x")
    next_message(out, b"RMSG APP after 1")
    into.send(b"RMSG APP still 1\r\nx\r\n")
    pump([client], lambda: client.messages)
    world.node.process.send_signal(signal.SIGINT)
    for peer in (out, into):
        said = [line for line in peer.ends() if line.startswith((b"INFO", b"-ERR"))]
        expect(said, [])


row_13_lame_duck.dials = True
row_13_lame_duck.top = 'lame_duck_grace_period: "25s"\nlame_duck_duration: "60s"\n'


def row_7_a_peer_without_headers(world):
    out, _ = world.outbound(headers=False)
    listing(out, "h")
    client = Client(world.node)
    client.publish("h", b"x", "rep", b"NATS/1.0\r\na: b\r\n\r\n")
    next_message(out, b"RMSG APP h rep 1")
    client.publish("h", b"", None, b"NATS/1.0\r\n\r\n")
    next_message(out, b"RMSG APP h 0", b"")


row_7_a_peer_without_headers.dials = True


def row_12_services_are_of_the_requestors_server(world):
    """What comes for an importer's subject from another cluster has been served there."""
    gateway, _ = world.inbound()
    told_until_end_of(gateway, "SVC")
    exporter, importer = Client(world.node, "svc"), Client(world.node, "cli")
    exporter.subscribe("svc.req")
    importer.subscribe("my.req")
    wanted = {b"RS+ SVC svc.req", b"RS+ CLI my.req"}
    while wanted:
        wanted.discard(gateway.until(r"^RS\+ (SVC|CLI) ").string)
    gateway.send(b"RMSG CLI my.req rep 1\r\n1\r\nRMSG SVC svc.req rep 1\r\n2\r\n")
    pump([exporter, importer], lambda: exporter.messages and importer.messages)
    expect([(m.subject, m.reply, m.body) for m in exporter.messages], [("svc.req", "rep", b"2")])
    expect([(m.subject, m.reply, m.body) for m in importer.messages], [("my.req", "rep", b"1")])


def row_70_a_member_without_gateways(world):
    """It says so when others tell of clusters; what answers for other clusters is an ordinary subject here."""
    route, client = member(world), Client(world.node)
    client.subscribe("svc")
    client.subscribe("_GR_.>")
    client.subscribe("ib.*")
    route.until(r"^RS\+ APP ib")
    route.send(gossip("GX", 5))
    until_said(world.node, f'Received information about gateway "GX" from {MEMBER}, but gateway is not configured')
    away = f"_GR_.{hash_of('GA')}.abcdef.".encode()
    route.send(b"RMSG APP svc %sib.1 1\r\nx\r\nRMSG APP %sib.2 1\r\nx\r\n" % (away, away))
    pump([client], lambda: len(client.messages) == 2)
    expect([(m.subject, m.reply) for m in client.messages], [("svc", "ib.1"), (away.decode() + "ib.2", None)])
    if not world.ours:
        return  # a nats-server loses what is published there next, as it would go to a gateway
    client.publish("ib.1", b"x")
    pump([client], lambda: len(client.messages) == 3)
    expect(client.messages[2].subject, "ib.1")


row_70_a_member_without_gateways.alone = True


if __name__ == "__main__":
    sys.exit(test_gateways.main("gateways and routes", globals()))
