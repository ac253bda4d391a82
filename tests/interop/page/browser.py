"""tests/interop/page/browser.py - a headless Chromium, driven over the WebDriver protocol of Debian's chromedriver.

Only what the page's test needs, in plain HTTP: no package beside chromium-driver.
"""
import base64
import json
import re
import subprocess
import tempfile
import time
import urllib.request

PATIENCE_SECONDS = 30
POLL_SECONDS = 0.05
SWITCHES = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update"]
# The network stays what the test gives: nothing but this machine is resolved.
SWITCHES += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
STARTS = 5  # it takes a free port, and then again, so that somebody may have come between
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    def __init__(self, chromium, chromedriver):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        for left in reversed(range(STARTS)):
            try:
                self.start(chromedriver)
                break
            except RuntimeError as error:
                if left == 0 or "Address already in use" not in str(error):
                    raise
        options = {"binary": chromium, "args": SWITCHES + ["--user-data-dir=" + self.profile.name]}
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = "/session/" + made["sessionId"]

    def start(self, chromedriver):
        self.driver = subprocess.Popen([chromedriver, "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True)
        self.address = None
        said = []
        while self.address is None:
            line = self.driver.stdout.readline()
            if not line:
                self.driver.wait()
                raise RuntimeError("chromedriver does not start: " + "".join(said))
            said.append(line)
            started = re.search(r"started successfully on port (\d+)", line)
            self.address = started and "http://127.0.0.1:" + started.group(1)

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError("%s: %s" % (path, json.load(error)["value"]["message"])) from error

    def post(self, path, **body):
        return self.call("POST", self.session + path, body)

    def devtools(self, command, **parameters):
        return self.post("/goog/cdp/execute", cmd=command, params=parameters)

    def open(self, url):
        self.post("/url", url=url)

    def run(self, script, *arguments):
        """The value of a function body in the page."""
        return self.post("/execute/sync", script=script, args=list(arguments))

    def wait(self, what, script, *arguments):
        """Until the expression is true in the page; its value."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (value := self.run("return (" + script + ")", *arguments)):
            if time.monotonic() > deadline:
                raise RuntimeError("it never came to this: %s; the page says:\n%s" % (
                    what, self.run("return document.body.innerText")))
            time.sleep(POLL_SECONDS)
        return value

    def click(self, selector):
        """What was found may have made way for the next figures before it is clicked: then it is looked for again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self.post("/element", using="css selector", value=selector)
            try:
                return self.post("/element/%s/click" % found[ELEMENT])
            except RuntimeError as error:
                if "stale element" not in str(error) or time.monotonic() > deadline:
                    raise

    def keys(self, words):
        """Typed at whatever has the focus."""
        strokes = [{"type": kind, "value": key} for key in words for kind in ("keyDown", "keyUp")]
        self.post("/actions", actions=[{"type": "key", "id": "keys", "actions": strokes}])

    def messages(self):
        """What the console has got since it was asked last, network failures included."""
        return self.post("/se/log", type="browser")

    def size(self, width, height=900):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                      mobile=width < 600)

    def prefer(self, scheme):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path, width):
        """The whole page as a PNG."""
        self.size(width)
        self.size(width, self.run("return document.documentElement.scrollHeight"))
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", self.session + "/screenshot")))
        self.size(width)

    def close(self):
        try:
            self.call("DELETE", self.session)
        except (RuntimeError, OSError):
            pass  # it is ended below in any case
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()
        self.profile.cleanup()
