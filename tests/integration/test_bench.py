#!/usr/bin/env python3
"""tests/integration/test_bench.py - myelin-bench against a server that errs on purpose: every kind of wrong
delivery must end the run with exit code 1 and one line that says what was wrong.

The server below speaks just enough NATS, and passes every delivery through a function that may spoil it.
Run: python3 tests/integration/test_bench.py [path of myelin-bench]
"""
import json
import re
import socket
import subprocess
import sys
import threading
import unittest

BENCH = "build/myelin-bench"
RUN_SECONDS = 20


class Server:
    """One listener; `spoil(n, frame)` gives the bytes that are sent instead of the n-th delivery (from 0)."""

    def __init__(self, spoil=lambda n, frame: frame, info=b"INFO {\"version\":\"0.0.test\",\"headers\":true} \r\n",
                 early=0):
        """`early`: so many messages come at once to whoever subscribes."""
        self.spoil, self.info, self.early = spoil, info, early
        self.subscriptions, self.delivered, self.lock = [], 0, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            connection.sendall(self.info)
            stream = connection.makefile("rb")
            for line in stream:
                words = line.split()
                if words[0] == b"PING":
                    with self.lock:
                        connection.sendall(b"PONG\r\n")
                elif words[0] == b"SUB":
                    with self.lock:
                        self.subscriptions.append((words[1], words[-1], connection))
                        for _ in range(self.early):
                            self.publish(words[1], b"", b"\r\n")
                elif words[0] == b"PUB":
                    payload = stream.read(int(words[-1]) + 2)
                    with self.lock:
                        self.publish(words[1], words[2] if len(words) == 4 else b"", payload)
            stream.close()
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    def publish(self, subject, reply, payload):
        for pattern, sid, connection in self.subscriptions:
            if pattern == subject or pattern.endswith(b"*") and subject.startswith(pattern[:-1]):
                frame = b"MSG %s %s %s%d\r\n%s" % (subject, sid, reply + b" " if reply else b"", len(payload) - 2,
                                                   payload)
                frame = self.spoil(self.delivered, frame)
                self.delivered += 1
                if frame is None:
                    connection.shutdown(socket.SHUT_RDWR)
                else:
                    connection.sendall(frame)


def run(server, *arguments):
    done = subprocess.run([BENCH, *arguments, "--server", f"127.0.0.1:{server.port}", "--json", "--quiet"],
                          capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    server.close()
    return done


def at(place, change):
    return lambda n, frame: change(frame) if n == place else frame


class Bench(unittest.TestCase):
    def expect_failure(self, server, words, *arguments):
        done = run(server, *arguments)
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, words)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_a_server_without_faults_passes_and_every_delivery_is_counted(self):
        done = run(Server(), "pubsub", "--messages", "1001", "--publishers", "2", "--subscribers", "3", "--subjects", "2")
        self.assertEqual(done.returncode, 0, done)
        report = json.loads(done.stdout)
        self.assertEqual((report["messages"], report["deliveries"]), (1001, 501 * 2 + 500))
        self.assertEqual(report["server"], "0.0.test")

    def test_what_others_publish_before_the_subscriber_is_ready_counts(self):
        done = run(Server(early=3), "sub", "--messages", "3", "--timeout", "1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(json.loads(done.stdout)["deliveries"], 3)

    def test_deliveries_in_single_bytes_are_put_together(self):
        server = Server()
        server.spoil = lambda n, frame: [c.send(frame[i:i + 1]) for _, _, c in server.subscriptions
                                         for i in range(len(frame))] and b""
        done = run(server, "pubsub", "--messages", "50", "--size", "40")
        self.assertEqual(done.returncode, 0, done)

    def test_a_lost_delivery_is_noticed(self):
        self.expect_failure(Server(at(70, lambda frame: b"")), "waited .* 99 of 100 deliveries",
                            "pubsub", "--messages", "100", "--timeout", "0.3")

    def test_a_double_delivery_is_noticed(self):
        self.expect_failure(Server(at(70, lambda frame: frame * 2)), "101 (messages, not its 100|deliveries)",
                            "pubsub", "--messages", "100")

    def test_a_double_delivery_at_the_very_end_is_noticed(self):
        self.expect_failure(Server(at(99, lambda frame: frame * 2)), "101 (messages, not its 100|deliveries)",
                            "pubsub", "--messages", "100")

    def test_a_delivery_to_the_wrong_subscriber_is_noticed(self):
        server = Server()

        def swap(n, frame):
            if n == 10:  # the other subscriber gets it
                target = [c for s, _, c in server.subscriptions if s not in frame]
                target[0].sendall(frame)
                return b""
            return frame
        server.spoil = swap
        self.expect_failure(server, "subscriber . got \\d+ messages, not its", "pubsub", "--messages", "100",
                            "--subscribers", "2", "--subjects", "2")

    def test_a_delivery_of_the_wrong_size_is_noticed(self):
        self.expect_failure(Server(at(70, lambda frame: frame.replace(b" 16\r\nx", b" 15\r\n"))), "15 bytes .* 16",
                            "pubsub", "--messages", "100")

    def test_a_broken_frame_is_noticed(self):
        self.expect_failure(Server(at(70, lambda frame: frame[:-1] + b"X")), "no NATS server sends",
                            "pubsub", "--messages", "100")

    def test_an_error_of_the_server_is_passed_on(self):
        self.expect_failure(Server(at(70, lambda frame: b"-ERR 'Slow Consumer'\r\n")), "says: -ERR 'Slow Consumer'",
                            "pubsub", "--messages", "100")

    def test_a_connection_that_ends_is_noticed(self):
        self.expect_failure(Server(at(70, lambda frame: None)), "closed a connection|reset",
                            "pubsub", "--messages", "100")

    def test_a_server_that_is_none_is_refused(self):
        self.expect_failure(Server(info=b"220 mail.example ESMTP\r\n"), "no NATS server sends",
                            "pub", "--messages", "1")

    def test_a_server_that_says_nothing_is_not_waited_for_forever(self):
        self.expect_failure(Server(info=b""), "does not answer", "pub", "--messages", "1", "--timeout", "0.3")

    def test_requests_find_their_replies(self):
        done = run(Server(), "request", "--messages", "500", "--in-flight", "7", "--publishers", "2")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(json.loads(done.stdout)["latency_count"], 500)

    def test_a_double_reply_is_noticed(self):
        self.expect_failure(Server(lambda n, frame: frame * 2 if re.match(rb"MSG _INBOX", frame) else frame),
                            "nobody waits for", "request", "--messages", "50")

    def test_a_lost_reply_is_noticed(self):
        self.expect_failure(Server(at(31, lambda frame: b"")), "waited too long for a reply: 15 of 16 came",
                            "request", "--messages", "50", "--timeout", "0.3")

    def test_an_open_loop_is_charged_for_what_a_pause_held_up(self):
        """One pause of 0.3 s in 1 s: of 1000 messages a second about 300 were due in it, so 10 % wait over 0.15 s."""
        def pause(n, frame):
            if n == 300:
                threading.Event().wait(0.3)
            return frame
        done = run(Server(pause), "pubsub", "--rate", "1000", "--messages", "1000")
        self.assertEqual(done.returncode, 0, done)
        report = json.loads(done.stdout)
        self.assertGreater(report["latency_p90_ns"], 150e6)
        self.assertGreater(report["latency_max_ns"], 290e6)
        self.assertGreater(report["elapsed_s"], 0.95)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        BENCH = sys.argv.pop(1)
    unittest.main()
