#!/usr/bin/env python3
"""tests/integration/test_rolling.py SERVER [--nats PATH] [--newest PATH] [--reference] - a cluster of three is started anew,
node by node, in lame duck mode, while clients work.

Each node in turn is told by `--signal ldm`. Some of its clients go elsewhere when they are told, others wait until they are
closed. What has to hold: who works at the other nodes loses nothing; who moves when it is told loses nothing either, as
sender or receiver; a queue group works each job once while a member moves, but for those on their way to it when it leaves; what a server has acknowledged arrives, even when it is the last thing that it does; who waits is closed
without an error, and was told where else to go. With --reference also clusters of nats-servers
alone, which pass it too.
"""
import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster_client import ACCOUNTS, WAIT_SECONDS, Client, Failure, pump  # noqa: E402
from test_cluster import Cluster  # noqa: E402

# The grace period is what those who move have for it. Two clients stay, so half a second to one is between their ends.
LAME_DUCK = "lame_duck_grace_period: 1s\nlame_duck_duration: 31s\n"
WARM = 20  # messages of each sender that are there before the node is told
PAUSE = 0.01
GROUP, JOBS = "g", 5  # so many each time


def cluster_of(paths):
    cluster = Cluster(paths, 2, full_mesh=True)
    for node in cluster.nodes:
        node.accounts = ACCOUNTS + LAME_DUCK
    return cluster


class Sender:
    """Numbers what it sends. `acknowledged`: so many the server has taken for sure."""

    def __init__(self, client, subject, name):
        self.client, self.subject, self.name, self.sent, self.acknowledged = client, subject, name, 0, 0
        self.asked = []  # by PINGs that are not answered: how many had been sent
        self.pongs = client.pongs  # nobody else says PING on it
        self.resting = False

    def send(self):
        if self.client.closed or self.resting:
            return
        try:
            self.client.publish(self.subject, b"%s %d" % (self.name, self.sent))
            self.client.send(b"PING\r\n")
        except OSError:
            return  # it is closed, which it reads soon
        self.sent += 1
        self.asked.append(self.sent)

    def look(self):
        while self.asked and self.client.pongs > self.pongs:
            self.pongs += 1
            self.acknowledged = self.asked.pop(0)

    def move(self, client):
        self.client, self.asked, self.pongs, self.resting = client, [], client.pongs, False


def numbers(clients, subject, name):
    """Of what that sender sent, what these clients have got, in order."""
    return [int(m.body.split()[1]) for client in clients for m in client.messages
            if m.subject == subject and m.body.split()[0] == name]


def told_urls(client):
    return json.loads(client.info.split(b" ", 1)[1]).get("connect_urls", [])


class Step:
    """One node goes and comes back."""

    def __init__(self, cluster, number):
        self.cluster, self.node = cluster, cluster.nodes[number]
        self.others = [node for node in cluster.nodes if node is not self.node]
        self.fixed = Client(self.others[1])  # hears everything
        self.old = [Client(self.node)]  # moves when it is told; behind it, where it went
        self.stay = [Client(self.node), Client(self.node)]
        self.senders = [Sender(Client(node), "all", b"at%d" % i) for i, node in enumerate(self.others)]
        self.moving = Sender(Client(self.node), "all", b"moving")
        self.staying = Sender(self.stay[0], "all", b"staying")
        self.workers = [Client(node) for node in cluster.nodes]  # of a queue group
        self.leaving = self.workers[number]
        self.jobs, self.at_risk = 0, set()  # how many there have been; which were on their way when a member left
        self.in_time = False

    def clients(self):
        return [self.fixed] + self.old + self.stay + [sender.client for sender in self.all_senders()] + self.workers

    def all_senders(self):
        return self.senders + [self.moving, self.staying]

    def traffic(self):
        for sender in self.all_senders():
            sender.send()
        for _ in range(JOBS):
            self.senders[0].client.publish("work", b"%d" % self.jobs)
            self.jobs += 1

    def until(self, done):
        def looked():
            for sender in self.all_senders():
                sender.look()
            return done()

        pump(self.clients(), looked, self.traffic, PAUSE)

    def elsewhere(self, client):
        """Connects as a client does that was told where else to go."""
        urls = told_urls(client)
        expected = {"127.0.0.1:%d" % node.port for node in self.others}
        if set(urls) != expected:
            raise Failure("%s sends its clients to %s, not to %s" % (self.node.name, urls, sorted(expected)))
        return Client(next(node for node in self.others if urls[0].endswith(":%d" % node.port)))

    def run(self):
        for client in [self.fixed] + self.old + self.stay:
            client.subscribe("all")
        for worker in self.workers:
            worker.subscribe("work", GROUP)
        self.know_each_other()
        self.until(lambda: all(len(numbers([client], "all", sender.name)) >= WARM for sender in self.all_senders()
                               for client in [self.fixed] + self.old + self.stay))
        subprocess.run([self.node.path, "--signal", "ldm=%d" % self.node.process.pid], check=True, timeout=WAIT_SECONDS,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told = self.old + self.stay + [self.moving.client]
        self.until(lambda: all(b'"ldm":true' in client.info for client in told))
        self.leave_group()
        self.move()
        self.wait_for_the_end()
        self.node.start()
        url = b'"127.0.0.1:%d"' % self.node.port
        self.until(lambda: all(url in client.info for client in [self.fixed, self.senders[0].client]))
        self.check()
        for client in self.clients():
            client.close()

    def know_each_other(self):
        """Nobody's first message shall be lost because the nodes have just met."""
        receivers, senders = [self.fixed] + self.old + self.stay, self.all_senders()
        for worker in self.workers:
            worker.subscribe("all")  # behind the group's, so known behind it

        def missing():
            return [sender for sender in senders if not all(
                any(m.subject == "all" and m.body == b"probe " + sender.name for m in client.messages) for client in receivers + self.workers)]

        pump(self.clients(), lambda: not missing(),
             lambda: [sender.client.publish("all", b"probe " + sender.name) for sender in missing()])
        for worker in self.workers:
            worker.unsubscribe(2)

    def worked(self):
        return [int(m.body) for worker in self.workers for m in worker.messages if m.subject == "work"]

    def leave_group(self):
        """First the new member, then the end of the old one. Jobs go on meanwhile, but not until the sender's server has
        heard of it: a job that comes to a server without members is nobody's."""
        new, sender = self.elsewhere(self.leaving), self.senders[0].client
        new.subscribe("work", GROUP)
        self.workers.append(new)
        self.until(lambda: self.leaving.closed or any(m.subject == "work" for m in new.messages))
        if self.leaving.closed:
            self.at_risk = set(range(self.jobs))
            return
        self.traffic()
        self.at_risk = set(range(self.jobs)) - set(self.worked())
        self.leaving.unsubscribe(1)
        self.leaving.subscribe("left")
        pump([self.leaving], lambda: self.leaving.closed or self.leaving.messages[-1].subject == "left",
             lambda: sender.publish("left", b""), PAUSE)
        self.leaving.close()

    def move(self):
        """Receiver: first the new connection, then the end of the old one. Sender: what it has sent is acknowledged first."""
        new, (old,) = self.elsewhere(self.old[0]), self.old
        new.subscribe("all")
        self.old.append(new)

        def both():
            return old.closed or all(
                (there := numbers([new], "all", sender.name)) and there[0] in numbers([old], "all", sender.name)
                for sender in self.senders + [self.staying])

        self.until(both)
        self.in_time = not old.closed  # it has all that went before what the new one has
        old.close()
        self.moving.resting = True
        self.until(lambda: not self.moving.asked or self.moving.client.closed)
        self.moved = self.moving.acknowledged
        self.moving.client.close()
        self.moving.move(self.elsewhere(self.moving.client))

    def wait_for_the_end(self):
        self.until(lambda: all(client.closed for client in self.stay))
        if any(client.errors for client in self.clients()):
            raise Failure("clients are told %s" % [client.errors for client in self.clients()])
        for client in self.stay:
            self.elsewhere(client).close()
        self.until(lambda: self.node.process.poll() is not None)
        code = self.node.stop()
        if code != 0:
            raise Failure("%s ended with %d" % (self.node.name, code))

    def check(self):
        """What was sent until now arrives; then who has what."""
        jobs = self.jobs
        for sender in self.all_senders():
            sender.final = sender.sent
        self.until(lambda: all(numbers([self.fixed], "all", sender.name)[-1:] >= [sender.final - 1]
                               for sender in self.senders + [self.moving]))
        self.until(lambda: all(numbers(self.old[1:], "all", sender.name)[-1:] >= [sender.final - 1]
                               for sender in self.senders + [self.moving]))
        self.check_jobs(jobs)
        for sender in self.senders:
            if (got := numbers([self.fixed], "all", sender.name))[:sender.final] != list(range(sender.final)):
                raise Failure("between the others: %d of %d" % (len(got), sender.final))
        for sender, sure in ((self.moving, self.moved), (self.staying, self.staying.acknowledged)):
            lost = set(range(sure)) - set(numbers([self.fixed], "all", sender.name))
            if lost:
                raise Failure("%s: %s of %d are lost, which were acknowledged" % (sender.name, sorted(lost), sure))
        for sender in self.senders + [self.staying]:
            self.check_moved(sender)
        for client in self.stay:
            for sender in self.senders:
                got = numbers([client], "all", sender.name)
                if got != list(range(got[0], got[0] + len(got))):
                    raise Failure("who stays misses some before its end")

    def check_jobs(self, jobs):
        wanted = set(range(jobs)) - self.at_risk
        try:
            self.until(lambda: wanted <= set(self.worked()))
        except Failure:
            raise Failure("of %d jobs are lost: %s .." % (jobs, sorted(wanted - set(self.worked()))[:9])) from None
        worked = self.worked()
        if len(set(worked)) != len(worked):
            raise Failure("%d jobs are done twice" % (len(worked) - len(set(worked))))

    def check_moved(self, sender):
        """Where it was and where it went, together, it has everything from its first message on."""
        parts = [numbers([client], "all", sender.name) for client in self.old]
        for got in parts:
            if got != list(range(got[0], got[0] + len(got))):
                raise Failure("of %s: one connection has gaps" % sender.name)
        if self.in_time and parts[1][0] > parts[0][-1] + 1:
            raise Failure("of %s, who moves misses %d to %d" % (sender.name, parts[0][-1] + 1, parts[1][0] - 1))


def play(title, paths):
    began = time.monotonic()
    try:
        with cluster_of(paths) as cluster:
            slow = 0
            for number in range(len(paths)):
                step = Step(cluster, number)
                step.run()
                slow += not step.in_time
            if slow == len(paths):  # then nothing has shown that who moves in time loses nothing
                raise Failure("nobody could move in the grace period")
    except Failure as failure:
        return "FAILED %s: %s" % (title, failure)
    return "ok %s (%.1f s%s)" % (title, time.monotonic() - began, ", %d moved too late" % slow if slow else "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--nats", default=shutil.which("nats-server"))
    parser.add_argument("--newest")
    parser.add_argument("--reference", action="store_true")
    arguments = parser.parse_args()
    m, n, x = os.path.abspath(arguments.server), arguments.nats, arguments.newest
    mixes = [("three Myelin", [m, m, m])]
    mixes += [("Myelin and nats-server", [m, n, m])] if n else []
    mixes += [("Myelin and the newest nats-server", [x, m, m])] if x else []
    if arguments.reference:
        mixes += [("nats-servers", [one, one, one]) for one in (n, x) if one]
    with concurrent.futures.ThreadPoolExecutor(len(mixes)) as pool:
        lines = list(pool.map(lambda mix: play(*mix), mixes))
    print("\n".join(lines))
    failed = sum(line.startswith("FAILED") for line in lines)
    print("rolling restart: %d passed, %d failed" % (len(lines) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
