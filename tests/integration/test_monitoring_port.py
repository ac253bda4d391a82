#!/usr/bin/env python3
"""tests/integration/test_monitoring_port.py MYELIN - the bounds of the monitoring port (docs/monitoring.md 1), and a new
certificate on it: what nats-server has otherwise or not at all.
"""
import os
import signal
import ssl
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_monitoring import PATIENCE_SECONDS, Server, certificate, wait_for  # noqa: E402

CONNECTIONS_MAX = 256
PLAIN = 'listen: "127.0.0.1:-1"\nhttp: "127.0.0.1:-1"\n'
ASK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def answered(connection):
    """One answer to one request; None: it was closed instead."""
    head = b""
    try:
        connection.sendall(ASK)
        while b"\r\n\r\n" not in head:
            piece = connection.recv(1)
            if not piece:
                return None
            head += piece
        left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while left > 0:
            left -= len(connection.recv(left))
    except ConnectionError:
        return None
    return head.split(b"\r\n")[0]


def ends(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def bounds(program):
    """A head that does not end is given up; the connection behind the last allowed one is closed, until one has gone."""
    server = Server(program, PLAIN)
    try:
        torn = server.connect()
        torn.sendall(ASK[:-2])
        crowd = []
        while len(crowd) < CONNECTIONS_MAX - 1:
            crowd.append(server.connect())
            assert answered(crowd[-1]) == b"HTTP/1.1 200 OK", len(crowd)
        with server.connect() as one_more:
            assert answered(one_more) is None, "one more than there may be"
        assert answered(crowd[0]) == b"HTTP/1.1 200 OK", "who was there stays"
        crowd.pop().close()

        def let_in():
            with server.connect() as again:
                return answered(again) == b"HTTP/1.1 200 OK"
        wait_for("there is room again", let_in)
        torn.settimeout(PATIENCE_SECONDS)
        assert ends(torn), "a head without an end"
        for connection in crowd:
            connection.close()
    finally:
        server.stop()


def new_certificate(program):
    """A reload shows the new certificate to those who come, and disturbs nobody who is there."""
    with tempfile.TemporaryDirectory() as folder:
        cert, key = certificate(folder)
        lines = 'listen: "127.0.0.1:-1"\nhttps: "127.0.0.1:-1"\ntls { cert_file: "%s", key_file: "%s" }\n' % (cert, key)
        server = Server(program, lines)
        try:
            def trusting():
                return ssl.create_default_context(cafile=cert)
            server.tls = old = trusting()
            there = server.connect()
            before = there.getpeercert(binary_form=True)
            assert answered(there) == b"HTTP/1.1 200 OK"
            certificate(folder)
            server.process.send_signal(signal.SIGHUP)
            server.tls = trusting()

            def shown():
                try:
                    with server.connect() as new:
                        return new.getpeercert(binary_form=True)
                except ssl.SSLError:  # the old one, which the new one does not vouch for
                    return before
            wait_for("the new certificate is shown", lambda: shown() != before)
            assert answered(there) == b"HTTP/1.1 200 OK", "who was there is disturbed"
            there.close()
            server.tls = old
            try:
                server.connect().close()
                raise AssertionError("the old certificate is still shown")
            except ssl.SSLError:
                pass
        finally:
            server.stop()


def main():
    failed = 0
    for case in (bounds, new_certificate):
        try:
            case(sys.argv[1])
            print("ok %s" % case.__name__)
        except (AssertionError, RuntimeError, OSError) as error:
            failed += 1
            print("FAILED %s: %r" % (case.__name__, error))
    print("monitoring port: %d passed, %d failed" % (2 - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
