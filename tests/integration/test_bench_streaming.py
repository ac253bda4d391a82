#!/usr/bin/env python3
"""tests/integration/test_bench_streaming.py - myelin-bench stan against a streaming server that errs on purpose: a
message or an acknowledgement that is lost, repeated, refused or misplaced must end the run with one line.

The server below speaks just enough NATS Streaming; `spoil` passes on, changes or repeats what it sends.
Run: python3 tests/integration/test_bench_streaming.py [path of myelin-bench]
"""
import json
import sys
import unittest

import test_bench
from test_bench import Server, run


def varint(number):
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7f | 0x80]), number >> 7
    return out + bytes([number])


def text(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def fields(message):
    """{number: value} of numbers and texts."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte, at = message[at], at + 1
            value, shift = value | (byte & 0x7f) << shift, shift + 7
            if byte < 0x80:
                return value
    while at < len(message):
        key = number()
        value = number()
        if key & 7 == 2:
            value, at = message[at:at + value], at + value
        found[key >> 3] = value
    return found


class StreamingServer(Server):
    """`spoil(kind, n, body)` gives the bodies that are sent instead of the n-th (from 0) "ack" or "message"."""

    def __init__(self, spoil=lambda kind, n, body: [body], refuse=b""):
        super().__init__()
        self.change, self.refuse, self.last, self.beats = spoil, refuse, 0, 0
        self.inboxes, self.acknowledged, self.gone = [], [], set()

    def publish(self, subject, reply, payload):
        body = payload[:-2]
        said = fields(body) if subject.startswith((b"_STAN.", b"_INBOX.ack")) else {}
        if subject == b"_STAN.discover.test-cluster":
            names = text(1, b"_STAN.pub") + text(2, b"_STAN.sub") + text(3, b"_STAN.unsub") + text(4, b"_STAN.close")
            self.send(reply, text(5, self.refuse) if self.refuse else names)
            self.send(said[2], b"", reply=b"heartbeat.answer")
        elif subject == b"_STAN.sub":
            self.inboxes.append(said[4])
            self.send(reply, text(2, b"_INBOX.ack"))
        elif subject == b"_STAN.close":
            self.gone.add(said[1])
            self.send(reply, b"")
        elif subject.startswith(b"_STAN.pub.") and said[1] in self.gone:
            self.send(reply, text(1, said[2]) + text(2, b"who said goodbye publishes"))
        elif subject.startswith(b"_STAN.pub."):
            self.last += 1
            message = b"\x08" + varint(self.last) + text(2, said[3]) + text(4, said[5])
            for inbox in self.inboxes:
                for one in self.change("message", self.last - 1, message):
                    self.send(inbox, one)
            for one in self.change("ack", self.last - 1, text(1, said[2])):
                self.send(reply, one)
        elif subject == b"_INBOX.ack":
            self.acknowledged.append(said[2])
        elif subject == b"heartbeat.answer":
            self.beats += 1

    def send(self, subject, body, reply=b""):
        super().publish(subject, reply, body + b"\r\n")


def change_one(kind, place, change):
    return lambda k, n, body: change(body) if (k, n) == (kind, place) else [body]


class Streaming(unittest.TestCase):
    def expect_failure(self, server, words, *arguments):
        done = run(server, *arguments)
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, words)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(done.stdout, "")

    def expect(self, words, spoil, *arguments, **more):
        self.expect_failure(StreamingServer(spoil, **more), words, "stan", "--messages", "100", *arguments)

    def test_without_faults_all_is_counted_acknowledged_and_heartbeats_are_answered(self):
        server = StreamingServer()
        done = run(server, "stan", "--messages", "301", "--publishers", "3", "--in-flight", "7", "--size", "700")
        self.assertEqual(done.returncode, 0, done)
        report = json.loads(done.stdout)
        self.assertEqual((report["messages"], report["deliveries"], report["latency_count"]), (301, 301, 301))
        self.assertEqual(server.acknowledged, list(range(1, 302)))
        self.assertEqual(server.beats, 4)

    def test_when_the_time_is_over_all_that_was_sent_is_acknowledged_before_the_goodbyes(self):
        done = run(StreamingServer(), "stan-pub", "--duration", "0.3", "--publishers", "3", "--in-flight", "7")
        self.assertEqual(done.returncode, 0, done)
        report = json.loads(done.stdout)
        self.assertEqual(report["messages"], report["latency_count"])

    def test_a_lost_message_is_noticed(self):
        self.expect("message 52 of bench came behind message 50",
                    change_one("message", 50, lambda body: []))

    def test_a_lost_message_at_the_end_is_noticed(self):
        self.expect("99 of 100 deliveries", change_one("message", 99, lambda body: []), "--timeout", "0.3")

    def test_a_double_message_is_noticed(self):
        self.expect("message 51 of bench came behind message 51",
                    change_one("message", 50, lambda body: [body, body]))

    def test_a_message_of_the_wrong_size_is_noticed(self):
        self.expect("15 bytes .* 16", change_one("message", 50, lambda body: [
            body.replace(b"\x22\x10x", b"\x22\x0f")]))

    def test_a_message_without_a_sequence_is_noticed(self):
        self.expect("no sequence", change_one("message", 50, lambda body: [b"rubbish"]))

    def test_a_lost_acknowledgement_is_noticed(self):
        self.expect("99 acknowledged", change_one("ack", 50, lambda body: []), "--timeout", "0.3")

    def test_a_double_acknowledgement_is_noticed(self):
        self.expect("acknowledged twice", change_one("ack", 50, lambda body: [body, body]))

    def test_an_acknowledgement_for_nobody_is_noticed(self):
        self.expect("nobody waits for", change_one("ack", 50, lambda body: [body[:-1] + b"?"]))

    def test_a_refused_message_is_noticed(self):
        self.expect("refuses a message: no room", change_one("ack", 50, lambda body: [body + text(2, b"no room")]))

    def test_a_refused_client_is_told(self):
        self.expect("says: clientID already registered", lambda kind, n, body: [body],
                    refuse=b"clientID already registered")

    def test_a_server_that_does_no_streaming_is_told(self):
        self.expect_failure(Server(), "no answer of a streaming server", "stan-pub", "--timeout", "0.3")


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        test_bench.BENCH = sys.argv.pop(1)
    unittest.main()
