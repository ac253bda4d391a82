#!/usr/bin/env python3
"""tests/integration/test_permissions.py SERVER - permissions where publishers and subscribers live on several shards.

What one shard decides is in the unit and conformance tests. Here: a queue group some of whose members may not have a
message (whoever may gets it, on whatever shard it lives), filtered subscriptions behind a mailbox, and a reload that
every shard obeys.
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile

MEMBERS = 3  # of each kind; with three shards every shard has some
PUBLISHERS = 3
MESSAGES = 500  # of each publisher
PATIENCE_SECONDS = 20
USERS = """authorization { users: [
 {user: any, password: p}
 {user: limited, password: p, permissions: {subscribe: {deny: ["x.denied"%s]}}}
] }
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """A connection that reads lines; payloads here are one byte, so a message is two lines."""

    def __init__(self, port, user):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self.stream = self.socket.makefile("rb")
        self.stream.readline()  # INFO
        self.send('CONNECT {"verbose":false,"user":"%s","pass":"p"}\r\n' % user)

    def send(self, words):
        self.socket.sendall(words.encode())

    def until(self, last):
        """The lines up to one that is `last`, it included."""
        lines = []
        while not lines or lines[-1] != last:
            line = self.stream.readline()
            if not line:
                raise RuntimeError(f"closed while waiting for {last!r}, behind {lines[-3:]}")
            lines.append(line.rstrip(b"\r\n"))
        return lines

    def settled(self):
        """What came until the PONG of a PING that is sent now."""
        self.send("PING\r\n")
        return self.until(b"PONG")[:-1]

    def messages(self, count):
        """The next so many MSG lines; PINGs in between are answered."""
        lines = []
        while len(lines) < count:
            line = self.stream.readline().rstrip(b"\r\n")
            if line == b"PING":
                self.send("PONG\r\n")
            elif line.startswith(b"MSG "):
                lines.append(line)
                self.stream.readline()
            elif line:
                raise RuntimeError(f"unexpected {line!r}")
            else:
                raise RuntimeError(f"{len(lines)} of {count} messages came")
        return lines


def start(server, config, port):
    process = subprocess.Popen([server, "--shards", "3", "-c", config, "-a", "127.0.0.1", "-p", str(port)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "Server is ready" in line:
            return process
    raise RuntimeError("the server does not start")


def publish(publishers, subject):
    for publisher in publishers:
        publisher.send(f"PUB {subject} 1\r\nx\r\n" * MESSAGES)
    for publisher in publishers:
        publisher.settled()


def check(condition, what):
    if not condition:
        raise RuntimeError(what)


def group_with_members_who_may_not(port, _process, _config):
    """One member of all may have the denied subject, and gets every message of it."""
    limited = [Client(port, "limited") for _ in range(MEMBERS)]
    good = Client(port, "any")
    for client in limited + [good]:
        client.send("SUB x.* q 1\r\n")
        client.settled()
    publish([Client(port, "any") for _ in range(PUBLISHERS)], "x.denied")
    good.messages(PUBLISHERS * MESSAGES)
    check(good.settled() == [], "the group got a message twice")
    for client in limited:
        check(client.settled() == [], "a member got what it is denied")


def filtered_behind_a_mailbox(port, _process, _config):
    """Each subscriber gets what is not denied, from publishers on every shard."""
    limited = [Client(port, "limited") for _ in range(MEMBERS)]
    for client in limited:
        client.send("SUB x.* 1\r\n")
        client.settled()
    publishers = [Client(port, "any") for _ in range(PUBLISHERS)]
    publish(publishers, "x.denied")
    publish(publishers, "x.open")
    for client in limited:
        lines = client.messages(PUBLISHERS * MESSAGES)
        check(set(lines) == {b"MSG x.open 1 1"}, f"got {set(lines)}")
        check(client.settled() == [], "more came than was published")


def reload_on_every_shard(port, process, config):
    """A subscription that the new file denies goes, on whatever shard; the others stay."""
    limited = [Client(port, "limited") for _ in range(MEMBERS)]
    for client in limited:
        client.send("SUB gone 1\r\nSUB kept 2\r\n")
        client.settled()
    with open(config, "w", encoding="ascii") as file:
        file.write(USERS % ', "gone"')
    process.send_signal(signal.SIGHUP)
    refusal = b'-ERR \'Permissions Violation for Subscription to "gone" (sid "1")\''
    for client in limited:
        lines = client.until(refusal)
        check(lines == [refusal], f"got {lines}")
    publisher = Client(port, "any")
    publish([publisher], "gone")
    publish([publisher], "kept")
    for client in limited:
        check(set(client.messages(MESSAGES)) == {b"MSG kept 2 1"}, "the wrong subscription was removed")


def main():
    passed = failed = 0
    for scenario in (group_with_members_who_may_not, filtered_behind_a_mailbox, reload_on_every_shard):
        with tempfile.TemporaryDirectory() as folder:
            config = os.path.join(folder, "server.conf")
            with open(config, "w", encoding="ascii") as file:
                file.write(USERS % "")
            port = free_port()
            process = start(sys.argv[1], config, port)
            try:
                scenario(port, process, config)
                passed += 1
            except (RuntimeError, OSError) as error:
                failed += 1
                print(f"FAILED {scenario.__name__}: {error}")
            finally:
                process.kill()
                process.wait()
                process.stderr.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
