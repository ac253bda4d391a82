#!/usr/bin/env python3
"""tests/integration/test_signals.py SERVER - `--signal` of the real binary, to servers that run, and what they do then.

Method: each word goes to a server of its own name (a link to the program), by that name, by its number, by its pid file
and by a pattern; while messages flow, where the server lives on. Nobody but the server that is meant hears of it.
With nats-server as SERVER, which looks for its own name only, those by name are left out.
"""
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from server import PATIENCE, Client, Server, end  # noqa: E402
from test_reload import Load, login, settled  # noqa: E402

CONFIGURATION = """
listen: "127.0.0.1:-1"
pid_file: "PID"
accounts { W { users: [ {user: witness, password: p} ] } }
lame_duck_duration: "30s", lame_duck_grace_period: "29s"
"""


class World:
    """A folder with the program under a name that no other process has."""

    def __init__(self, program):
        self.folder = tempfile.TemporaryDirectory()
        self.name = f"signalled-{os.getpid()}-{os.path.basename(self.folder.name)}"[:60]
        self.program, self.ours = self.path(self.name), "myelin" in os.path.basename(program)
        os.symlink(program, self.program)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def server(self, more="", name=""):
        os.makedirs(self.path(name), exist_ok=True)
        server = Server(self.program, self.path(name), self.text(more, name), ["-D"])
        server.pid_file = self.path(name + "pid")
        return server

    def text(self, more="", name=""):
        return CONFIGURATION.replace("PID", self.path(name + "pid")) + more

    def send(self, command, flag="--signal"):
        """The exit code and what is printed; the program's own name left out."""
        done = subprocess.run([self.program, flag, command], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.stdout == "", done.stdout
        return done.returncode, done.stderr.replace(self.name, "NAME").replace("nats-server", "NAME")

    def sent(self, command, flag="--signal"):
        code, said = self.send(command, flag)
        assert (code, said) == (0, ""), (command, code, said)

    def ways(self, server):
        """Everything that stands for this server behind a word."""
        pid = str(server.process.pid)
        return ["=" + pid, "=" + server.pid_file] + (["", f"={pid}*"] if self.ours else [])


def loaded(server):
    load = Load(server)
    assert load.begun.wait(PATIENCE)  # nats-server knows no users for a moment while it reloads
    return load


def trapped(server, name, count):
    """Waits until that signal has come so many times."""
    server.expect_count(f'Trapped "{name}" signal', count)
    assert server.count(f'Trapped "{name}" signal') == count, server.lines


def reload_by_each_way(world):
    """A file that changes each time is in force behind each, and nobody is disturbed."""
    server = world.server()
    load, client = loaded(server), login(server, "witness")
    for number, way in enumerate(world.ways(server)):
        server.write(world.text(f"max_payload: {1000 + number}\n"))
        world.sent("reload" + way, "--signal" if number % 2 == 0 else "-sl")
        server.expect(f"Reloaded: max_payload = {1000 + number}")
        trapped(server, "hangup", number + 1)
    assert Client(server).info["max_payload"] == 1000 + number
    settled(client)
    load.finish()
    return server


def a_log_is_rotated(world):
    """Renamed, and opened anew by each way: no line is lost or torn, and those behind are in the new file."""
    server, log = world.server(), world.path("log")
    load = loaded(server)
    server.write(world.text(f'log_file: "{log}"\n'))
    world.sent("reload" + world.ways(server)[0])
    wait_for(lambda: os.path.exists(log) and "Reloaded server configuration" in read(log))
    stopping, refused = threading.Event(), []

    def knock():
        while not stopping.is_set():
            client = Client(server)
            client.login(user=f"stranger{len(refused)}.", **{"pass": "p"})
            refused.append(client.rest())
    knocking = threading.Thread(target=knock)
    knocking.start()
    old = []
    for number, way in enumerate(world.ways(server)):
        before = len(refused)
        wait_for(lambda: len(refused) > before + 5)
        old.append(f"{log}.{number}")
        os.rename(log, old[-1])
        world.sent("reopen" + way)
        wait_for(lambda: os.path.exists(log) and "File log re-opened" in read(log))
    stopping.set()
    knocking.join(PATIENCE)
    load.finish()
    said = "".join(read(name) for name in old + [log])
    found = re.findall(r'^\[\d+\] .* \[ERR\] .* authentication error - User "stranger(\d+)\."$', said, re.MULTILINE)
    assert [int(number) for number in found] == list(range(len(refused))), found
    return server


def read(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


def wait_for(true):
    """What a file holds announces itself to nobody."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def each_end(world, word, way, code):
    """The clients see the end of the stream, without an -ERR; the exit code tells which end it was."""
    server = world.server()
    client = login(server, "witness")
    world.sent(word + world.ways(server)[way])
    assert b"-ERR" not in client.rest(), client.buffer
    ended(server, code)
    return None


# None of them means anything to a server, and each of them ends a process that does not say so.
DEAF = ("SIGPIPE", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGXFSZ", "SIGIO", "SIGPWR", "SIGWINCH")


def lives_on(world):
    server = world.server()
    client = login(server, "witness")
    for name in DEAF:
        server.process.send_signal(getattr(signal, name))
        settled(client)  # a thread that serves clients would have died with it
    world.sent("reload" + world.ways(server)[0])
    trapped(server, "hangup", 1)
    settled(client)
    assert server.count("Trapped") == 1, server.lines
    return server


def ended(server, code):
    found = server.process.wait(PATIENCE)
    assert found == code, f"it ended with {found}, not {code}"
    server.ended = True
    Server.running.remove(server)
    server.reader.join()


def lame_duck(world):
    """New clients are refused, those that are there are told and stay; SIGTERM is not heard then, `quit` is."""
    server = world.server()
    client = login(server, "witness")
    world.sent("ldm" + world.ways(server)[1])
    while not client.read_info().get("ldm"):
        pass  # an INFO comes behind the first PONG too
    server.expect("Entering lame duck mode, stop accepting new clients")
    try:
        Client(server).close()
        raise AssertionError("somebody was let in")
    except ConnectionError:
        pass
    world.sent("term" + world.ways(server)[0])  # not now
    trapped(server, "terminated", 1)
    settled(client)
    world.sent("quit" + world.ways(server)[1])
    assert b"-ERR" not in client.rest(), client.buffer
    ended(server, 0)


def what_cannot_be_meant(world):
    """One sentence, exit code 1, and no signal to anybody."""
    server = world.server()
    pid = server.process.pid
    with open(world.path("wrong"), "w", encoding="ascii") as file:
        file.write(f"{pid}\n")
    rows = [("bogus", 'unknown signal "bogus"'), (f"bogus={pid}", 'unknown signal "bogus"'), ("reload=abc", "invalid pid: abc"),
            ("reload=" + world.path("wrong"), f"invalid pid: {pid}\n"), ("reload=1=2=3", "invalid signal parameters: [2 3]")]
    for command, sentence in rows if world.ours else rows[1:]:
        assert world.send(command) == (1, f"NAME: {sentence}\n"), (command, world.send(command))
    gone = subprocess.Popen(["true"])
    gone.wait()
    code, said = world.send(f"reload={gone.pid}")
    assert code == 1 and "no such process" in said, said
    if world.ours:
        other = world.server(name="other")
        code, said = world.send("reload")
        assert code == 1 and said.startswith("NAME: multiple NAME processes running:\n"), said
        assert set(said.split("\n")[1:-1]) == {str(pid), str(other.process.pid)}, said
        world.sent("reload=*")
        for each in (server, other):
            trapped(each, "hangup", 1)
            each.expect("Reloaded server configuration")
        assert other.stop() is None
    assert server.count("Trapped") == int(world.ours), server.lines
    assert server.stop() is None
    if world.ours:
        code, said = world.send("reload")
        assert (code, said) == (1, "NAME: no NAME processes running\n"), said


def runs(program):
    old = not ("myelin" in os.path.basename(program) or "current" in program)
    yield reload_by_each_way,
    yield a_log_is_rotated,
    yield lame_duck,
    yield lives_on,
    yield what_cannot_be_meant,
    yield each_end, "quit", 0, 0
    yield each_end, "quit", 1, 0
    yield each_end, "term", 1, int(old)
    yield each_end, "stop", 0, -signal.SIGKILL
    if "myelin" in os.path.basename(program):
        yield each_end, "stop", 2, -signal.SIGKILL
        yield each_end, "term", 3, 0


def attempt(program, scenario, *arguments):
    world = World(program)
    with world.folder:
        try:
            server = scenario(world, *arguments)
            problem = server.stop() if server is not None else None
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)[:3000]
        if problem is not None:
            print(f"FAILED {scenario.__name__} {arguments}: {problem}", flush=True)
        return problem is None


def main():
    program = os.path.abspath(sys.argv[1])
    os.environ["MYELIN_FLAGS"] = ""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = [pool.submit(attempt, program, *run) for run in runs(program)]
        passed = sum(result.result() for result in results)
    end("signals", passed, len(results) - passed)


if __name__ == "__main__":
    main()
