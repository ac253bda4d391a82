#!/usr/bin/env python3
"""tests/interop/page/run.py SERVER [--pictures FOLDER] - the live page in headless Chromium.

Clicks and types through the page while clients publish, with real neighbours (super_cluster.py) and with made-up ones, in
both themes and at a phone's width; kills the server under it and starts it again. Nothing may come up on the console. With --pictures
the page is also kept as PNGs, for people. Without Chromium it is skipped, but not in CI.
"""
import http.server
import json
import os
import re
import shutil
import sys
import threading
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "integration"))
import super_cluster  # noqa: E402
from browser import Browser  # noqa: E402
from test_monitoring import Client, Server, wait_for  # noqa: E402

CONFIG = """
listen: "127.0.0.1:%(client)d"
http: "127.0.0.1:%(http)d"
http_base_path: "%(base)s"
server_name: "%(name)s"
shards: 2
accounts { A { users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }
"""
CLUSTER = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: %s
cluster { name: pages, listen: "127.0.0.1:-1", %s }
"""
TEXT = "document.querySelector(arguments[0])?.textContent"
LIVE = "document.getElementById('status').textContent === 'Live' && document.querySelectorAll('#tiles .tile').length === 8"


def start(program, name="<i>page</i>", base="", client=-1, http=-1):
    return Server(program, CONFIG % {"name": name, "base": base, "client": client, "http": http})


def said_by(server):
    with open(server.log.name, encoding="utf-8") as file:
        return file.read()


class Traffic:
    """Clients that publish until they are told to end."""

    def __init__(self, server):
        self.watcher = Client(server, "a", "<b>watcher</b>")
        self.watcher.run("SUB top.> 1\r\nSUB other q 2\r\nSUB quiet 3\r\n")
        self.publisher = Client(server, "a", "publisher")
        self.other = Client(server, "b", "of another account")
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=work) for work in (self.publish, self.take)]
        for thread in self.threads:
            thread.start()

    def publish(self):
        try:
            while not self.ending.is_set():
                self.publisher.run("PUB top.first 5\r\nhello\r\n" * 30 + "PUB top.second 5\r\nhello\r\n" * 10)
                self.other.run("PUB elsewhere 2\r\nhi\r\n")
                self.ending.wait(0.005)
        except OSError:
            pass  # the server was killed

    def take(self):
        try:
            while self.watcher.stream.read(4096):
                pass
        except OSError:
            pass

    def end(self):
        self.ending.set()
        self.threads[0].join()
        for client in (self.publisher, self.other):
            client.close()
        try:
            self.watcher.socket.shutdown(2)
        except OSError:
            pass
        self.threads[1].join()


MADE_UP = {
    "/routez": {"routes": [{"remote_id": "N%d" % (number // 2), "remote_name": "peer-%d" % (number // 2), "ip": "10.0.0.1", "port": 6222,
                            "rtt": "1.5ms", "in_msgs": 100, "out_msgs": 50, "pending_size": 0, "subscriptions": 7} for number in range(6)]},
    "/gatewayz": {"outbound_gateways": {"far": {"connection": {"rtt": "80ms", "in_msgs": 1, "out_msgs": 2}}},
                  "inbound_gateways": {"far": [{"connection": {"rtt": "81ms", "in_msgs": 1, "out_msgs": 2}}]}},
    "/leafz": {"leafs": [{"name": "edge", "ip": "10.0.0.9", "port": 1, "rtt": "9ms", "in_msgs": 0, "out_msgs": 0}]},
}


class Neighbours(http.server.BaseHTTPRequestHandler):
    """The monitoring port of a server, but with neighbours that it has not."""
    protocol_version = "HTTP/1.1"
    server_port = 0

    def log_message(self, *_):
        pass

    def do_GET(self):  # pylint: disable=invalid-name
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.server_port, self.path)) as answer:
            body, form = answer.read(), answer.headers["content-type"]
        made_up = MADE_UP.get(self.path)
        if made_up is not None:
            body = json.dumps({**json.loads(body), **made_up}).encode()
        self.send_response(200)
        self.send_header("content-type", form)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# Each text's contrast with what is behind it, by WCAG 2: the worst of the page, and whose it is.
CONTRAST = """
const light = ([r, g, b]) => [r, g, b].map((part) => part / 255).map((part) =>
    part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((all, part, index) => all + part * [0.2126, 0.7152, 0.0722][index], 0);
const color = (text) => text.match(/[0-9.]+/g).map(Number);
const behind = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const [r, g, b, a = 1] = color(getComputedStyle(at).backgroundColor);
    layers.push([r, g, b, a]);
    if (a === 1) { break; }
  }
  return layers.reverse().reduce((base, [r, g, b, a]) => [r, g, b].map((part, index) => part * a + base[index] * (1 - a)), [255, 255, 255]);
};
let worst = [99, ""];
for (const element of document.querySelectorAll("h1,h2,h3,p,th,td,a,button,select,label,.words,.value,.key")) {
  if (!element.textContent.trim() || element.closest("[hidden],dialog:not([open])") || element.getClientRects().length === 0) { continue; }
  const [text, ground] = [light(color(getComputedStyle(element).color)), light(behind(element))];
  const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  if (contrast < worst[0]) { worst = [contrast, element.outerHTML.slice(0, 120)]; }
}
return worst;
"""


class Test:
    def __init__(self, program, browser, pictures):
        self.program, self.browser, self.pictures = program, browser, pictures
        self.passed, self.failed = 0, 0

    def check(self, what, good, more=""):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print("page: FAILED: %s %s" % (what, more))

    def quiet(self, when):
        said = self.browser.messages()
        self.check("the console is silent " + when, not said, said)

    def keep(self, name, width):
        if self.pictures:
            self.browser.picture(os.path.join(self.pictures, "%s-%d.png" % (name, width)), width)

    def figures(self, server):
        browser = self.browser
        browser.wait("the page is live", LIVE)
        browser.run("const s = document.getElementById('interval'); s.value = '1000'; s.dispatchEvent(new Event('change'))")
        self.check("the server's name is text", browser.run("return " + TEXT, "#server-name") == "<i>page</i>" and
                   browser.run("return document.querySelectorAll('i').length") == 0)
        self.check("and the title", "page" in browser.run("return document.title"))
        tiles = browser.run("return [...document.querySelectorAll('#tiles .tile')].map((one) => one.innerText)")
        self.check("connections are counted", any(re.match(r"Connections\s+3\s+3 subscriptions", tile) for tile in tiles), tiles)
        browser.wait("rates have come", "/^[0-9.]+( k)?\\/s$/.test([...document.querySelectorAll('#tiles .value')][0].textContent)")
        first = "document.querySelector('#subjects tbody th')?.textContent === 'top.first'"
        browser.wait("the subject that is published most is the first", first)
        subjects = browser.run("return document.getElementById('subjects').innerText")
        self.check("others follow, with their accounts", re.search(r"top\.second\s+A\b[\s\S]*elsewhere\s+B\b", subjects), subjects)
        shares = [float(share) for share in re.findall(r"([0-9.]+) %", subjects)]
        self.check("the first has three times the messages of the second", 2 < shares[0] / shares[1] < 4.5, shares)
        browser.wait("both shards are there", "document.querySelectorAll('#shards tbody tr').length === 2")
        browser.wait("accounts are there", "/A\\s+2[\\s\\S]*B\\s+1/.test(document.getElementById('accounts').innerText)")
        self.check("it stands alone", "stands alone" in browser.run("return " + TEXT, "#cluster"))
        Client(server, "a", "gone").close()
        browser.wait("who has gone is listed", "/gone\\s+Client Closed/.test(document.getElementById('closed').innerText)")

    def hands(self):
        """Everything that can be clicked or typed."""
        browser = self.browser
        names = "[...document.querySelectorAll('#connections tbody button')].map((one) => one.textContent)"
        browser.run("const s = document.getElementById('sort'); s.value = 'subs'; s.dispatchEvent(new Event('change'))")
        browser.wait("who subscribes most is the first, as text", names + "[0] === '<b>watcher</b>'")
        browser.click("#connections tbody button")
        browser.wait("its detail opens", "document.getElementById('detail').open && /quiet/.test(document.getElementById('detail-body').innerText)")
        detail = browser.run("return document.getElementById('detail').innerText")
        self.check("with its subscriptions", all(re.search(words, detail) for words in (
            "3 subscriptions", r"top\.>\s+–\s+[1-9]", r"other\s+q\s+0", r"quiet\s+–\s+0")), detail)
        self.keep("detail", 1280)
        browser.keys("\ue00c")  # escape
        browser.wait("and closes", "!document.getElementById('detail').open")
        self.check("the focus is back", browser.wait("focus", "document.activeElement.tagName === 'BUTTON'"))
        browser.click("#unit-bytes")
        browser.wait("the chart shows data", "/B\\/s/.test(document.getElementById('throughput-reading').textContent)")
        browser.run("document.querySelector('#throughput svg').focus()")
        browser.keys("\ue012")  # arrow left
        browser.wait("arrow keys read the chart", "/at \\d/.test(document.getElementById('throughput-reading').textContent)")
        browser.click("#unit-messages")
        browser.click("#pause")
        browser.wait("it pauses", "document.getElementById('status').textContent === 'Paused'")
        browser.click("#pause")
        browser.wait("and goes on", "document.getElementById('status').textContent === 'Live'")
        self.check("the skip link comes first", browser.run(
            "const first = document.querySelector('a,button,select,[tabindex]'); first.focus(); return first.className") == "skip")
        browser.keys("\ue007")  # enter
        browser.wait("and leads to the figures", "document.activeElement.id === 'main'")
        browser.run("document.getElementById('interval').focus()")
        browser.keys("\ue004")  # tab
        self.check("tab goes on", browser.run("return document.activeElement.id") == "pause")
        self.check("what can be used has a name", browser.run(
            "return [...document.querySelectorAll('button,select,a,img')].every((one) => one.tagName === 'IMG' ? one.hasAttribute('alt') :"
            "  one.textContent.trim() || one.getAttribute('aria-label') || one.closest('label'))"))

    def looks(self):
        browser = self.browser
        grounds = set()
        for theme in ("light", "dark"):
            browser.prefer(theme)
            grounds.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
            contrast, whose = browser.run(CONTRAST)
            self.check("texts can be read, " + theme, contrast >= 4.5, "%.2f: %s" % (contrast, whose))
            for width in (1280, 390):
                browser.size(width)
                overflow = browser.run("return document.documentElement.scrollWidth - window.innerWidth")
                self.check("the page fits into %d" % width, overflow <= 0, overflow)
                self.keep(theme, width)
        browser.size(1280)
        self.check("the system's theme is taken", len(grounds) == 2, grounds)
        browser.click("#theme")
        self.check("and can be overruled", browser.run("return getComputedStyle(document.body).backgroundColor") != browser.run(
            "document.getElementById('theme').click(); return getComputedStyle(document.body).backgroundColor"))
        browser.run("document.getElementById('theme').click()")

    def server_dies(self, server):
        browser = self.browser
        server.process.kill()
        server.process.wait()
        browser.wait("the page says so", "document.getElementById('status').textContent === 'No answer' && "
                     "/has not answered since/.test(document.getElementById('banner').innerText)")
        self.keep("gone", 1280)
        again = start(self.program, "again", client=server.client_port, http=server.http_port)
        browser.wait("it finds the new one", "document.getElementById('server-name').textContent === 'again' && " + LIVE)
        self.check("the banner is gone", browser.run("return document.getElementById('banner').hidden"))
        browser.wait("nothing is left of the old one", "/^Messages in\\s+[0–][\\s\\S]*0 since/.test(document.querySelector('#tiles .tile').innerText)")
        strange = [one for one in browser.messages() if one["source"] != "network" or "ERR_" not in one["message"]]
        self.check("only the missing answers are on the console", not strange, strange)
        again.stop()

    def base_path(self):
        browser = self.browser
        server = start(self.program, "based", "mon/deep")
        browser.open("http://127.0.0.1:%d/mon/deep" % server.http_port)
        browser.wait("the page lives below a base path", LIVE)
        links = browser.run("return [...document.querySelectorAll('#links a')].map((one) => one.href)")
        bad = [link for link in links if not self.answers(link)]
        self.check("all links lead somewhere", len(links) == 15 and not bad, bad)
        browser.open(browser.run("return document.querySelector('footer p a').href"))
        plain = browser.run("return [...document.querySelectorAll('a')].map((one) => one.href)")
        self.check("and those of the plain list to the same", plain == links, plain)
        self.quiet("below a base path")
        server.stop()

    @staticmethod
    def answers(link):
        try:
            with urllib.request.urlopen(link) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as error:
            return link.endswith("/raftz") and error.read() == b"No Raft nodes registered"

    def cluster(self):
        """Two servers, and the page of one of them: the other one comes, and goes."""
        browser = self.browser
        first = Server(self.program, CLUSTER % ("first", ""))
        port = wait_for("the route port is open", lambda: re.search(r"route connections on \S+:(\d+)", said_by(first))).group(1)
        second = Server(self.program, CLUSTER % ("second", 'routes: ["nats://127.0.0.1:%s"]' % port))
        browser.open("http://127.0.0.1:%d/" % second.http_port)
        browser.wait("the other server is drawn", "[...document.querySelectorAll('#cluster .node .name')].some((one) => one.textContent === 'first')")
        self.check("beside this one, and nobody else", browser.run("return document.querySelectorAll('#cluster .node').length") == 2)
        first.stop()
        browser.wait("and is gone", "/No other server of the cluster pages/.test(document.getElementById('cluster').innerText)")
        self.quiet("with a cluster")
        browser.open("about:blank")
        second.stop()

    def neighbours(self):
        browser = self.browser
        server = start(self.program, "middle")
        handler = type("Of", (Neighbours,), {"server_port": server.http_port})
        proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=proxy.serve_forever).start()
        browser.open("http://127.0.0.1:%d/" % proxy.server_address[1])
        browser.wait("neighbours are drawn", "document.querySelectorAll('#cluster .node').length === 6")
        nodes = browser.run("return [...document.querySelectorAll('#cluster .node .name')].map((one) => one.textContent).sort()")
        self.check("each once", nodes == ["edge", "far", "middle", "peer-0", "peer-1", "peer-2"], nodes)
        browser.click("#cluster-details summary")
        peers = browser.run("return document.getElementById('peers').innerText")
        self.check("and told as a table", re.search(r"peer-0\s+route\s+2\b[\s\S]*far\s+gateway\s+2\b[\s\S]*edge\s+leaf\s+1\b", peers), peers)
        for width in (1280, 390):
            browser.size(width)
            inside = browser.run(
                "const all = document.querySelector('#cluster svg').getBoundingClientRect();"
                "return [...document.querySelectorAll('#cluster .node')].every((one) => { const box = one.getBoundingClientRect();"
                "  return box.left >= all.left - 1 && box.right <= all.right + 1 && box.bottom <= all.bottom + 1; })")
            self.check("all inside the picture at %d" % width, inside)
            self.keep("neighbours", width)
        browser.size(1280)
        self.quiet("with neighbours")
        browser.open("about:blank")
        proxy.shutdown()
        proxy.server_close()
        server.stop()

    def all(self):
        server = start(self.program)
        traffic = Traffic(server)
        try:
            self.browser.size(1280)
            self.browser.open("http://127.0.0.1:%d/" % server.http_port)
            self.figures(server)
            self.hands()
            self.looks()
            self.quiet("while the server is there")
        finally:
            traffic.end()
        self.server_dies(server)
        server.log.close()
        server.folder.cleanup()
        self.base_path()
        self.cluster()
        self.neighbours()
        super_cluster.play(self)


def main():
    pictures = sys.argv[sys.argv.index("--pictures") + 1] if "--pictures" in sys.argv else None
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        print("page: skipped: chromium or chromium-driver is not installed")
        return 1 if os.environ.get("CI") else 0
    browser = Browser(chromium, chromedriver)
    test = Test(os.path.abspath(sys.argv[1]), browser, pictures)
    try:
        test.all()
    except RuntimeError as error:
        test.check(str(error), False)
    finally:
        browser.close()
    print("page: %d passed, %d failed" % (test.passed, test.failed))
    sys.stdout.flush()
    os._exit(1 if test.failed or not test.passed else 0)  # a thread of what has failed may wait for a server


if __name__ == "__main__":
    main() and sys.exit(1)
