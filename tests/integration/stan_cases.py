"""What cases of NATS Streaming share: the server under test, what a case has of it, and how it says what is wrong."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import stan_client
from stan_client import Nats, Refused, Stan


class Under:
    """What is under test."""
    binary = None
    store = "MEMORY"

    @classmethod
    def myelin(cls):
        return os.path.basename(cls.binary) == "myelin"


GROUPS = {}


class Failure(Exception):
    pass


def case(group, number):
    def note(function):
        GROUPS.setdefault(group, []).append((number, function))
        return function
    return note


def equal(got, wanted, what=""):
    if got != wanted:
        raise Failure(f"{what}: {got!r}, not {wanted!r}")


def true(condition, what):
    if not condition:
        raise Failure(what)


def refused(text, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except Refused as error:
        if text not in str(error):
            raise Failure(f"refused with {str(error)!r}, not {text!r}") from error
        return
    raise Failure(f"not refused with {text!r}")


# ---- servers ----

class Server:
    """One that is ready; its log is kept for the end."""

    def __init__(self, flags=(), config=None, port=-1, folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="streaming-")
        self.own_folder = folder is None
        self.log_path = os.path.join(self.folder, "log")
        # nats-streaming-server by name: what Myelin does then is part of what is tested.
        link = os.path.join(self.folder, "nats-streaming-server")
        if not os.path.lexists(link):
            os.symlink(Under.binary, link)
        command = [link, "-a", "127.0.0.1", "-p", str(port), *flags]
        if Under.store == "FILE":
            command += ["-st", "FILE", "-dir", os.path.join(self.folder, "store")]
        if config is not None:
            path = os.path.join(self.folder, "conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(config)
            command += ["-c", path]
        with open(self.log_path, "ab") as log:
            self.from_byte = log.tell()
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.port = None
        deadline = time.monotonic() + stan_client.WAIT
        while "Streaming Server is ready" not in self.log():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                said = self.log()
                self.remove()
                raise Failure("the server did not start:\n" + said)
            time.sleep(0.01)
        self.port = int(re.findall(r"Listening for client connections on \S+:(\d+)", self.log())[-1])

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            file.seek(self.from_byte)
            return file.read()

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=stan_client.WAIT)

    def remove(self):
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class Scene:
    """What one case has: connections and clients that end with it."""

    def __init__(self, server, name):
        self.server, self.name, self.opened = server, name, []

    def nats(self):
        nats = Nats(self.server.port)
        self.opened.append(nats)
        return nats

    def stan(self, suffix="", nats=None, **more):
        return Stan(nats or self.nats(), f"{self.name}{suffix}", **more)

    def end(self):
        for nats in self.opened:
            if not nats.closed:
                nats.close()
