"""tests/integration/gateway_proxy.py - stands between two gateways and makes a server of an older kind of the acceptor.

A nats-server from 2.9 on, and Myelin, list all they want as soon as another cluster dials them. Before, an account was
served by guessing: everything is sent, and what nobody wants is refused afterwards (spec/gateways.md 8.4). For some
accounts the proxy keeps from the dialer what the acceptor lists, and refuses in its place: RS- for a subject, A- for an
account without any interest; what is wanted again later cancels that. So a dialer meets accounts in all modes at once, and the
proxy knows for each message whether it should have been sent. It runs in a thread of its own; what it has noted may be read
when nothing is under way.
"""
import base64
import json
import selectors
import socket
import threading

from cluster_client import WAIT_SECONDS, Failure

LISTED, GUESSED = "listed", "guessed"


def matches(pattern, subject):
    p, s = pattern.split("."), subject.split(".")
    for i, token in enumerate(p):
        if token == ">":
            return len(s) > i
        if i >= len(s) or (token != "*" and token != s[i]):
            return False
    return len(p) == len(s)


class Account:
    """What the acceptor wants, and what the dialer was told of it."""

    def __init__(self, mode):
        self.mode = mode
        self.plain = set()
        self.queues = set()  # (subject, queue)
        self.silent = set()  # subjects refused
        self.none = False    # all of it is

    def wanted(self, subject):
        return any(matches(pattern, subject) for pattern in self.plain)


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy, dialer):
        self.proxy = proxy
        self.dialer = dialer
        self.acceptor = socket.create_connection(("127.0.0.1", proxy.target), timeout=WAIT_SECONDS)
        self.buffers = {self.dialer: b"", self.acceptor: b""}
        self.greeted = False

    def tell(self, line):
        self.dialer.sendall(line.encode() + b"\r\n")

    def received(self, come_from):
        """False: it is over."""
        try:
            data = come_from.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            return False
        self.buffers[come_from] += data
        try:
            while self.next_operation(come_from):
                pass
        except OSError:
            return False
        return True

    def next_operation(self, come_from):
        buffer = self.buffers[come_from]
        end = buffer.find(b"\r\n")
        if end < 0:
            return False
        line, after = buffer[:end], end + 2
        words = line.decode().split()
        if words and words[0] in ("RMSG", "HMSG"):
            after += int(words[-1]) + 2
            if len(buffer) < after:
                return False
        whole = buffer[:after]
        self.buffers[come_from] = buffer[after:]
        if come_from is self.dialer:
            if words[0] in ("RMSG", "HMSG"):
                self.message(words)
            self.acceptor.sendall(whole)
        elif self.passes(words, line):
            self.dialer.sendall(whole)
        return True

    def message(self, words):
        """Of the dialer: should it have come? The answer of an old acceptor."""
        account, subject = self.proxy.accounts.get(words[1]), words[2]
        if account is None or subject.startswith("_GR_"):
            return
        named = len(words) > 4 and words[3] in ("|", "+")
        wanted = account.wanted(subject)
        if self.proxy.strict and not named and ((account.mode == LISTED and not wanted) or 
                                                words[1] in self.proxy.refused_accounts or
                                                subject in self.proxy.refused.get(words[1], ())):
            self.proxy.wrong.append(" ".join(words))
        if account.mode == LISTED or wanted:
            return
        if not account.plain and not account.queues:
            if not account.none:
                account.none = True
                account.silent.clear()
                self.tell("A- " + words[1])
        elif subject not in account.silent:
            account.silent.add(subject)
            self.tell("RS- %s %s" % (words[1], subject))

    def passes(self, words, line):
        """What the acceptor says: noted, and whether the dialer is to hear of it."""
        if words[0] == "INFO":
            info = json.loads(line[5:])
            if not self.greeted:  # it does not say that it lists everything
                self.greeted = True
                info.pop("gateway_iom", None)
                self.tell("INFO " + json.dumps(info, separators=(",", ":")))
                return False
            if info.get("gateway_cmd") in (2, 3):
                name = base64.b64decode(info["gateway_cmd_payload"]).decode()
                if info["gateway_cmd"] == 3:
                    self.proxy.complete.add(name)
                return name not in self.proxy.accounts or self.proxy.accounts[name].mode == LISTED
            return True
        account = self.proxy.accounts.get(words[1]) if words[0] in ("RS+", "RS-") else None
        if account is None:
            return True
        wants, of = words[0] == "RS+", account.plain if len(words) == 3 else account.queues
        key = words[2] if len(words) == 3 else (words[2], words[3])
        (of.add if wants else of.discard)(key)
        if account.mode == LISTED or len(words) > 3:
            account.none = account.none and not wants
            return True
        if not wants:
            return False
        if account.none:
            account.none = False
            self.tell("A+ " + words[1])
            return False
        covered = {subject for subject in account.silent if matches(key, subject)}
        account.silent -= covered
        return bool(covered)


class Proxy(threading.Thread):
    """Listens; what dials it reaches the port `target`. `accounts` are those that it is about, by name."""

    def __init__(self, cluster, port, target, accounts):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.target = target
        self.accounts = {name: Account(mode) for name, mode in accounts.items()}
        self.links = []
        self.complete = set()  # accounts that the acceptor has listed
        self.wrong = []     # lines that should not have been sent
        self.strict = False  # interest does not change now: look for such
        self.refused = {}    # account: subjects that the dialer knows to be refused
        self.refused_accounts = set()
        self.orders = []
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.waker, self.wakes = socket.socketpair()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.selector.register(self.wakes, selectors.EVENT_READ, None)

    def switch(self, name):
        """An account is listed from now on, as by an acceptor that has refused a thousand subjects."""
        payload = base64.b64encode(name.encode()).decode()
        account = self.accounts[name]
        for link in self.links:
            link.tell('INFO {"gateway":"%s","gateway_cmd":2,"gateway_cmd_payload":"%s"}' % (self.cluster, payload))
            for pattern in sorted(account.plain):
                link.tell("RS+ %s %s" % (name, pattern))
            link.tell('INFO {"gateway":"%s","gateway_cmd":3,"gateway_cmd_payload":"%s"}' % (self.cluster, payload))
        account.mode, account.none = LISTED, False
        account.silent.clear()

    def begin_strict(self):
        """The dialer has heard all that was told until now."""
        self.refused = {name: set(account.silent) for name, account in self.accounts.items() if account.silent}
        self.refused_accounts = {name for name, account in self.accounts.items() if account.none}
        self.wrong.clear()
        self.strict = True

    def do(self, order):
        """Has the thread do it, and waits for that."""
        done = threading.Event()
        self.orders.append(lambda: (order(), done.set()))
        self.waker.send(b"x")
        if not done.wait(WAIT_SECONDS):
            raise Failure("the proxy does nothing any more")

    def stop(self):
        self.do(lambda: self.orders.append(None))
        self.join()

    def run(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self.welcome()
                elif key.fileobj is self.wakes:
                    self.wakes.recv(100)
                elif key.data in self.links and not key.data.received(key.fileobj):
                    self.drop(key.data)
            while self.orders:
                order = self.orders.pop(0)
                if order is None:
                    for link in list(self.links):
                        self.drop(link)
                    self.listener.close()
                    return
                order()

    def welcome(self):
        dialer, _ = self.listener.accept()
        try:
            link = Link(self, dialer)
        except OSError:
            dialer.close()
            return
        self.links.append(link)
        for end in (link.dialer, link.acceptor):
            self.selector.register(end, selectors.EVENT_READ, link)

    def drop(self, link):
        self.links.remove(link)
        for end in (link.dialer, link.acceptor):
            self.selector.unregister(end)
            end.close()
