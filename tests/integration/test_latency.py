#!/usr/bin/env python3
"""tests/integration/test_latency.py SERVER [OTHER...] - latency samples of services: who answered and how long it took,
over shards, over servers and clusters, each OTHER (a nats-server) among them on both sides; how it can end; which headers
ask for one; what is told of the requester. The rows run against each OTHER alone too, for their own proof.
"""
import concurrent.futures
import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster_client import WAIT_SECONDS, Client, Failure, Node, Nodes, free_ports, pump  # noqa: E402

SHARDS = 3
MEASURED = """
accounts {
    EXP {
        users = [ {user: exp, password: exp} ]
        exports = [
            {service: svc, latency: {sampling: 100, subject: lat.svc}}
            {service: asked, latency: {sampling: headers, subject: lat.asked}}
            {service: slow, threshold: "300ms", latency: lat.slow}
            {service: back, latency: lat.back}
        ]
    }
    MID {
        users = [ {user: mid, password: mid} ]
        exports = [ {service: through, latency: lat.through} ]
        imports = [ {service: {account: EXP, subject: back}, to: through} ]
    }
    IMP {
        users = [ {user: imp, password: imp} ]
        imports = [ {service: {account: EXP, subject: svc}}, {service: {account: EXP, subject: asked}},
                    {service: {account: EXP, subject: slow}}, {service: {account: MID, subject: through}} ]
    }
    SHR {
        users = [ {user: shr, password: shr} ]
        imports = [ {service: {account: EXP, subject: svc}, share: true} ]
    }
    SYS { users = [ {user: sys, password: sys} ] }
}
system_account: SYS
"""
EVERYTHING = {"acc", "client_type", "host", "id", "kind", "lang", "name", "rtt", "server", "start", "user", "ver"}


class Talker(Client):
    """Says what libraries say of themselves, so that a server takes its round trip."""

    def __init__(self, node, user, name="talker"):
        self.name = name
        super().__init__(node, user)

    def send(self, data):
        super().send(data.replace(b"CONNECT {", b'CONNECT {"name":"%s","lang":"py","version":"0.1",' % self.name.encode(), 1))


def expect(what, wanted, got):
    if wanted != got:
        raise Failure(f"{what}: expected {wanted}, got {got}")


def samples(listener):
    """But what was published to see whether it arrives: more of that may come at any time."""
    return [json.loads(message.body) for message in listener.messages
            if message.subject.startswith("lat.") and not message.subject.startswith("lat.probe")]


class Service:
    """One that answers, one that asks, and those that listen to the samples."""

    def __init__(self, asker, answerer, listeners, subject="svc", watchers=()):
        self.asker, self.answerer, self.listeners, self.subject = asker, answerer, listeners, subject
        self.all = [asker, answerer] + listeners + list(watchers)
        self.watchers = watchers
        self.served = subject if subject != "through" else "back"

    def settle(self):
        """Until every server knows what is wanted, and nobody has anything unread."""
        self.sid = self.answerer.subscribe(self.served)
        self.answerer.flush()
        probe = Talker(self.asker.node, "exp")
        probe.subscribe("probe")
        pump(self.all + [probe], lambda: probe.messages, lambda: self.answerer.publish("probe", b""))
        for listener in self.listeners:
            token = f"lat.probe.{id(self)}"
            pump(self.all + [probe], lambda: any(message.subject == token for message in listener.messages),
                 lambda: probe.publish(token, b"{}"))
        probe.close()
        self.clear()

    def clear(self):
        for client in self.all:
            client.flush()
            client.messages.clear()

    def ask(self, header=None):
        self.asker.publish(self.subject, b"q", reply="_INBOX.x", header=header)
        pump(self.all, lambda: self.answerer.messages)
        return self.answerer.messages.pop(0)

    def answer(self, request, longer_than_ns=0):
        end = time.monotonic_ns() + longer_than_ns
        self.answerer.flush()
        while time.monotonic_ns() < end:
            self.answerer.flush()
        self.answerer.publish(request.reply, b"a")
        pump(self.all, lambda: any(message.subject == "_INBOX.x" for message in self.asker.messages))

    def measured(self, header=None, longer_than_ns=0):
        """One request; its sample, which all listeners have got once."""
        self.request = self.ask(header)
        self.answer(self.request, longer_than_ns)
        return self.sample()

    def measured_whole(self):
        """When everybody's round trip is known, and with an answer that takes longer than that: no part is cut off at 0."""
        end, rtt_ns = time.monotonic() + WAIT_SECONDS, 0
        while time.monotonic() < end:  # a server may measure a round trip anew, and that may take longer
            sample = self.measured(longer_than_ns=2 * rtt_ns)
            rtt_ns = sample["responder"].get("rtt", 0)
            if rtt_ns > 0 and sample["service"] > 0 and "rtt" in sample["requestor"]:
                return sample
        raise Failure(f"no part is ever measured in full: {sample}")

    def sample(self):
        pump(self.all, lambda: all(samples(listener) for listener in self.listeners))
        for client in self.all:
            client.flush()
        got = [samples(listener) for listener in self.listeners]
        expect("one sample for everybody", [got[0][:1]] * len(got), got)
        self.halves = [json.loads(message.body) for watcher in self.watchers for message in watcher.messages]
        self.clear()
        return got[0][0]

    def stop(self):
        self.answerer.unsubscribe(self.sid)
        self.clear()


def check_answered(what, service, sample, clustered=False):
    expect(f"{what}: status", 200, sample["status"])
    expect(f"{what}: type", "io.nats.server.metric.v1.service_latency", sample["type"])
    expect(f"{what}: requester", ({"acc", "rtt"}, "IMP"), (set(sample["requestor"]), sample["requestor"]["acc"]))
    responder = sample["responder"]
    told = set(responder) - {"alts"}  # other clusters' names, by nats-server only
    expect(f"{what}: what is told of the responder", EVERYTHING | ({"cluster"} if clustered else set()), told)
    for key, value in (("acc", "EXP"), ("user", "exp"), ("name", service.answerer.name), ("lang", "py"), ("ver", "0.1"),
                       ("server", service.answerer.node.name), ("kind", "Client"), ("client_type", "nats"),
                       ("host", "127.0.0.1")):
        expect(f"{what}: {key} of the responder", value, responder[key])
    expect(f"{what}: id", json.loads(service.answerer.infos[0][5:])["client_id"], responder["id"])
    for key in ("service", "system", "total"):
        expect(f"{what}: {key} is a time", True, isinstance(sample[key], int) and sample[key] >= 0)
    expect(f"{what}: the service took time", True, sample["service"] > 0)
    expect(f"{what}: the way between two servers took time", True, sample["system"] > 0 or not clustered)
    parts = sample["requestor"]["rtt"] + sample["service"] + responder["rtt"] + sample["system"]
    expect(f"{what}: the sum of its parts", sample["total"], parts)


def check_half(what, service, half, request):
    """What goes from server to server: the same members wherever it comes from."""
    expect(f"{what}: members of the half", {"account", "req_id", "m2"}, set(half))
    expect(f"{what}: whose half", ("EXP", request.reply), (half["account"], half["req_id"].split("_GR_.")[-1][-len(request.reply):]))
    expect(f"{what}: members of m2",
           {"type", "id", "timestamp", "status", "responder", "start", "service", "system", "total"}, set(half["m2"]))
    expect(f"{what}: empty members", ("", "", "0001-01-01T00:00:00Z", 0),
           tuple(half["m2"][key] for key in ("type", "id", "timestamp", "system")))


class One(Nodes):
    def __init__(self, path):
        arguments = ["--shards", str(SHARDS)] if "myelin" in os.path.basename(path) else []
        ports = free_ports(1)
        self.node = Alone(path, "ONE", ports[0], 0, arguments, accounts=MEASURED)
        self.nodes = [self.node]


class Alone(Node):
    """No cluster."""

    def configuration(self):
        return f'server_name: {self.name}\nlisten: "127.0.0.1:{self.port}"\n{self.accounts}\n'


class Two(Nodes):
    """Of one cluster, or each of one, joined by gateways."""

    def __init__(self, paths, gateways):
        ports = free_ports(6)
        self.nodes = []
        for i, path in enumerate(paths):
            arguments = ["--shards", "2"] if "myelin" in os.path.basename(path) else []
            gateway = (f'gateway {{ name: G{i}, listen: "127.0.0.1:{ports[3 * i + 2]}"\n'
                       f'gateways: [ {{name: G{1 - i}, url: "nats://127.0.0.1:{ports[5 - 3 * i]}"}} ] }}\n') if gateways else ""
            node = Node(path, "AB"[i], ports[3 * i], ports[3 * i + 1], arguments, accounts=MEASURED + gateway)
            if gateways:
                node.cluster_name = f"G{i}"
            self.nodes.append(node)
        if not gateways:
            self.nodes[1].routes = [ports[1]]


# ---- one server ----

def one_answers_on_each_shard(node):
    """Three that ask and three that answer: as many shards, in every combination."""
    listener, watcher = Talker(node, "exp"), Talker(node, "sys")
    listener.subscribe("lat.>")
    watcher.subscribe("$SYS.LATENCY.>")
    askers = [Talker(node, "imp", f"asker{i}") for i in range(SHARDS)]
    answerers = [Talker(node, "exp", f"answerer{i}") for i in range(SHARDS)]
    for asker in askers:
        asker.subscribe("_INBOX.>")
    for answerer in answerers:
        for asker in askers:
            service = Service(asker, answerer, [listener], watchers=[watcher])
            service.settle()
            sample = service.measured_whole()
            check_answered(f"{asker.name} and {answerer.name}", service, sample)
            expect("nothing of it goes through the system account", [], service.halves)
            service.stop()


def one_behind_another(node):
    """A service that another account offers further: both measure, and both name who answered."""
    asker = Talker(node, "imp")
    answering = [Talker(node, "exp", f"answerer{i}") for i in range(SHARDS)]
    for listener in (Talker(node, "mid"), Talker(node, "exp")):
        listener.subscribe("lat.>")
        listener.flush()
        for answerer in answering:
            service = Service(asker, answerer, [listener], "through")
            asker.subscribe("_INBOX.>")
            sid = answerer.subscribe("back")
            answerer.flush()
            asker.flush()
            for _ in range(2):
                service.answer(service.ask())
                sample = service.sample()
            expect("who answered behind another service", answerer.name, sample["responder"]["name"])
            expect("who asked", "IMP", sample["requestor"]["acc"])
            answerer.unsubscribe(sid)
            answerer.flush()
        listener.close()


DESCRIPTIONS = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable", 504: "Service Timeout"}


def check_failed(what, sample, status, header=None):
    """What nobody answered: who asked, and nothing of who might have."""
    expect(what, (status, DESCRIPTIONS[status], "IMP", 0, 0, 0, header),
           (sample["status"], sample["description"], sample["requestor"]["acc"], sample["service"], sample["system"],
            sample["total"], sample.get("header")))
    expect(f"{what}: members", {"type", "id", "timestamp", "status", "description", "requestor", "start", "service", "system",
                                "total"} | ({"header"} if header else set()), set(sample))


class Failing(Service):
    """Of a service that does not answer. What is sampled comes to one listener."""

    def __init__(self, node, subject):
        listener = Talker(node, "exp")
        listener.subscribe("lat.>")
        listener.flush()
        super().__init__(Talker(node, "imp"), Talker(node, "exp"), [listener], subject)
        self.asker.subscribe("_INBOX.>")
        self.asker.flush()

    def serve(self):
        self.sid = self.answerer.subscribe(self.subject)
        self.answerer.flush()


def one_that_nobody_answers(node):
    """Each way in which a request can end without an answer, each sampled once."""
    slow = Failing(node, "slow")
    slow.asker.publish("slow", b"q", reply="_INBOX.x")
    check_failed("nobody is there", slow.sample(), 503)
    slow.serve()
    request = slow.ask()
    check_failed("behind the threshold", slow.sample(), 504)
    slow.answerer.publish(request.reply, b"late")
    for client in slow.all:
        client.flush()
    expect("a late answer is measured", [], samples(slow.listeners[0]))
    expect("a late answer is delivered", [], slow.asker.messages)
    slow.asker.publish("slow", b"q")
    check_failed("no reply is wanted", slow.sample(), 400)
    slow.answerer.messages.clear()
    sid = slow.asker.subscribe("elsewhere")
    slow.asker.publish("slow", b"q", reply="elsewhere")
    pump(slow.all, lambda: slow.answerer.messages)
    slow.asker.unsubscribe(sid)
    check_failed("the requester has gone", slow.sample(), 408)


HEADERS = [  # what is sent, what is sampled, what of it is repeated
    ([("X", "y")], False, None),
    ([("Uber-Trace-Id", "479fefe9525eddb:5adb976bfc1f95c1:479fefe9525eddb:1")], True, ["Uber-Trace-Id"]),
    ([("uber-trace-id", "1:2:3:1"), ("Uberctx-key", "value"), ("X-B3-SpanId", "1")], True, ["Uber-Trace-Id", "Uberctx-Key"]),
    ([("Uber-Trace-Id", "1:2:3:0")], False, None),
    ([("Uber-Trace-Id", "1:2:3")], False, None),
    ([("X-B3-Sampled", "1"), ("Uber-Trace-Id", "1:2:3:0")], False, None),
    ([("X-B3-Sampled", "1")], True, ["X-B3-Sampled"]),
    ([("X-B3-Sampled", "0"), ("X-B3-TraceId", "80f198ee56343ba864fe8b2a57d3eff7")], False, None),
    ([("X-B3-TraceId", "80f198ee56343ba864fe8b2a57d3eff7"), ("X-B3-SpanId", "e457"), ("X-B3-ParentSpanId", "05e3")], True,
     ["X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid"]),
    ([("X-B3-SpanId", "e457")], False, None),
    ([("B3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90")], True, ["B3"]),
    ([("B3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0-05e3ac9a4f6e3b90")], False, None),
    ([("B3", "0")], False, None),
    ([("B3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1")], True, ["B3"]),
    ([("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "a=b")], True,
     ["Traceparent", "Tracestate"]),
    ([("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")], False, None),
]


def header_of(pairs):
    return b"NATS/1.0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in pairs) + b"\r\n"


def one_that_headers_ask_for(node):
    """`sampling: headers`: those ask, and those are in the sample; without, or when they deny, there is none."""
    service = Failing(node, "asked")
    service.serve()
    for pairs, asks, repeated in HEADERS:
        request = service.ask(header_of(pairs))
        service.answer(request)
        if asks:
            sample = service.sample()
            expect(f"{pairs}: status", 200, sample["status"])
            expect(f"{pairs}: who answered", "exp", sample["responder"]["user"])
            values = {name.lower(): value for name, value in pairs}
            expect(f"{pairs}: repeated", {name: [values[name.lower()]] for name in repeated}, sample["header"])
        else:
            for client in service.all:
                client.flush()
            expect(f"{pairs}: samples", [], samples(service.listeners[0]))
        expect(f"{pairs}: the reply says so", asks, request.reply.endswith(".T"))
        service.clear()
    header = header_of([("X-B3-Sampled", "1")])
    service.asker.publish("asked", b"q", header=header)
    check_failed("no reply is wanted", service.sample(), 400, {"X-B3-Sampled": ["1"]})
    service.stop()
    service.asker.publish("asked", b"q", reply="_INBOX.x", header=header)
    check_failed("nobody is there", service.sample(), 503, {"X-B3-Sampled": ["1"]})
    # What is drawn for all requests repeats no headers.
    drawn = Failing(node, "svc")
    drawn.serve()
    expect("what was drawn repeats no headers", None, drawn.measured(header).get("header"))


def one_whose_import_shares(node):
    """`share: true`: all of the requester is told, in the sample as in the request; else his account and round trip."""
    service = Failing(node, "svc")
    service.serve()
    sharing = Service(Talker(node, "shr", "sharer"), service.answerer, service.listeners)
    sharing.asker.subscribe("_INBOX.>")
    sharing.asker.flush()
    expect("without", {"acc", "rtt"}, set(service.measured_whole()["requestor"]))
    requestor = sharing.measured_whole()["requestor"]
    expect("with `share`", EVERYTHING, set(requestor))
    expect("with `share`", ("SHR", "shr", "sharer", node.name),
           tuple(requestor[key] for key in ("acc", "user", "name", "server")))
    expect("its id", json.loads(sharing.asker.infos[0][5:])["client_id"], requestor["id"])
    request = sharing.ask()
    told = [line for line in request.header.split(b"\r\n") if line.startswith(b"Nats-Request-Info: ")]
    expect("the request says the same", requestor, json.loads(told[0].split(b" ", 1)[1]))


# ---- two servers ----

def two_measure(nodes, what):
    for one, other in (nodes, nodes[::-1]):
        listeners = [Talker(node, "exp") for node in nodes]
        watchers = [Talker(node, "sys") for node in (one,)]
        for listener in listeners:
            listener.subscribe("lat.>")
        for watcher in watchers:
            watcher.subscribe("$SYS.LATENCY.M2.*")
        for i in range(2):  # on two shards
            asker, answerer = Talker(one, "imp", f"asker{i}"), Talker(other, "exp", f"answerer{i}")
            asker.subscribe("_INBOX.>")
            asker.flush()
            service = Service(asker, answerer, listeners, watchers=watchers)
            service.settle()
            sample = service.measured_whole()
            title = f"{what}, {one.name} asks and {other.name} answers"
            check_answered(title, service, sample, clustered=True)
            expect(f"{title}: cluster", other.cluster_name, sample["responder"]["cluster"])
            expect(f"{title}: one half", 1, len(service.halves))
            check_half(title, service, service.halves[0], service.request)
            service.stop()
            asker.close()
            answerer.close()
        for client in listeners + watchers:
            client.close()


def two_behind_another(nodes, what):
    """The service of another server, which an account offers further. Only the service itself knows who answered: the other
    server tells of the one reply that it was given. nats-server waits for more, and never publishes the further sample."""
    for one, other in (nodes, nodes[::-1]):
        listener, further = Talker(one, "exp"), Talker(one, "mid")
        asker, answerer = Talker(one, "imp", "asker"), Talker(other, "exp", "answerer")
        for client, subject in ((listener, "lat.>"), (further, "lat.>"), (asker, "_INBOX.>")):
            client.subscribe(subject)
            client.flush()
        service = Service(asker, answerer, [listener], "through", watchers=[further])
        service.settle()
        title = f"{what}, {one.name} asks and {other.name} answers behind another service"
        for _ in range(2):
            service.answer(service.ask())
            measuring = {listener: "answerer"}
            if "myelin" in os.path.basename(one.path):
                measuring[further] = None
            pump(service.all, lambda: all(samples(who) for who in measuring))
            for client in service.all:
                client.flush()
            for who, name in measuring.items():
                expect(title, [(200, "IMP", name)], [(sample["status"], sample["requestor"]["acc"],
                                                      sample.get("responder", {}).get("name")) for sample in samples(who)])
            service.clear()
        for client in service.all:
            client.close()


# ---- all of them ----

def main():
    paths = [os.path.abspath(path) if "/" in path else shutil.which(path) for path in sys.argv[1:]]
    paths = [path for path in paths if path]
    runs = []
    for path in paths:
        for name, case in sorted(globals().items()):
            if name.startswith("one_"):
                runs.append((name, [path], lambda c=case, p=path: run_one(c, p)))
    for other in paths:
        for case in (two_measure, two_behind_another):
            for gateways in (False, True):
                runs.append((case.__name__ + ("_over_gateways" if gateways else ""), [paths[0], other],
                             lambda c=case, p=[paths[0], other], g=gateways: run_two(c, p, g)))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for (name, who, _), (why, seconds) in zip(runs, pool.map(lambda run: timed(run[2]), runs)):
            failed += why is not None
            title = f"{name} of {', '.join(who)}"
            print(f"FAILED {title}: {why}" if why else f"ok {title} ({seconds:.1f} s)", flush=True)
    print(f"latency samples: {len(runs) - failed} passed, {failed} failed")
    return 1 if failed or not runs else 0


def timed(case):
    began = time.monotonic()
    try:
        case()
        return None, time.monotonic() - began
    except (Failure, OSError, KeyError) as failure:
        return repr(failure), 0


def run_one(case, path):
    with One(path) as world:
        case(world.node)


def run_two(case, paths, gateways):
    with Two(paths, gateways) as world:
        case(world.nodes, "over gateways" if gateways else "over a route")


if __name__ == "__main__":
    sys.exit(main())
