"""Cases of NATS Streaming's checklist: the process from its start to its end (24.14). Part of test_streaming.py."""
import os
import re
import signal
import subprocess

import stan_client
import stan_log_lines
import stan_start_lines
from stan_cases import Failure, Server, Under, equal, true
from stan_client import Nats, Stan


def process_cases():
    server = Server()
    try:
        equal(stan_start_lines.missing(server.log()), None, "line of the start")
        link = os.path.join(server.folder, "nats-streaming-server")
        for flag in ("-v", "--version"):
            done = subprocess.run([link, flag], capture_output=True, text=True, timeout=stan_client.WAIT, check=True)
            true(re.fullmatch(r"nats-streaming-server version 0\.25\.6, nats-server: v\S+\n", done.stdout), done.stdout)
        Stan(Nats(server.port), "me").publish("foo")
        server.process.send_signal(signal.SIGUSR2)
        client = Stan(Nats(server.port), "other")
        client.publish("foo")
        # Stopped under load: it ends in order, whatever is under way.
        for _ in range(2000):
            client.publish_later("foo", b"x")
        equal(server.stop(signal.SIGTERM), 143, "exit code after SIGTERM")
        true("Shutting down" in server.log(), "the line about the end")
    finally:
        server.stop(signal.SIGKILL)
        server.remove()
    server = Server(flags=["-SDV"])
    try:
        stan_log_lines.play(server.port)
        equal(server.stop(signal.SIGINT), 0, "exit code after SIGINT")
        equal(stan_log_lines.wrong(server.log()), None, "line of the log")
    finally:
        server.stop(signal.SIGKILL)
        server.remove()
    for flags, text in ((["-st", "nothing"], "store type"), (["-st", "FILE"], "root directory must be specified"),
                        (["-mc", "-1"], "max channels limit cannot be negative (-1)")):
        done = subprocess.run([Under.binary, *(["--streaming"] if Under.myelin() else []), *flags],
                              capture_output=True, text=True, timeout=stan_client.WAIT, check=False)
        equal(done.returncode, 1, f"exit code of {flags}")
        true(text in done.stdout + done.stderr, f"{flags}: {done.stdout + done.stderr}")


NETWORK = 'cluster {{ name: net, listen: "127.0.0.1:-1", routes: [{}] }}\nstreaming {{ cluster_id: "{}" }}\n'


def another_of_the_same_id_is_found():
    """146, of Myelin alone: the original is answered that nobody is there before its routes are made."""
    first = Server(config=NETWORK.format("", "here"))
    try:
        port = re.findall(r"Listening for route connections on \S+:(\d+)", first.log())[-1]
        route = f'"nats://127.0.0.1:{port}"'
        try:
            Server(config=NETWORK.format(route, "here")).stop()
            raise Failure("a second one has started")
        except Failure as error:
            true('STREAM: Failed to start: discovered another streaming server with cluster ID "here"' in str(error),
                 str(error))
        there = Server(config=NETWORK.format(route, "there"))
        try:
            for server, cluster in ((first, "here"), (there, "there"), (first, "there")):
                Stan(Nats(server.port), "me" + str(server.port), cluster=cluster).publish("foo")
        finally:
            there.stop(signal.SIGKILL)
            there.remove()
    finally:
        first.stop(signal.SIGKILL)
        first.remove()
