"""A real browser without a window, for tests of pages: Chromium, driven by its DevTools protocol
over a pipe (messages in JSON, each ended by an octet 0).

    with Browser() as browser:
        page = browser.open(path, width=360, dark=True)
        page.evaluate("document.title")
        page.problems        # what its console and its scripts complained of
        page.asked_for       # every address that it asked for

Nothing that it asks for can come from elsewhere: no name resolves.
"""
import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_S, ANSWER_S = 60, 60


def found():
    """The browser's path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class NoBrowser(Exception):
    """There is none, or it does not start here."""


class Browser:
    def __init__(self):
        self._ids, self._unread, self.events = 0, b"", []
        self._folder = self._process = None

    def __enter__(self):
        path = found()
        if path is None:
            raise NoBrowser(f"none of {', '.join(NAMES)} is installed")
        self._folder = tempfile.mkdtemp(prefix="portcullis-browser-")
        down, self._to = os.pipe()
        self._from, up = os.pipe()
        command = [path, "--headless", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run",
                   "--disable-dev-shm-usage", "--disable-background-networking",
                   "--disable-component-update", "--disable-extensions", "--no-proxy-server",
                   "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={self._folder}"]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        # It wants the pipe as descriptors 3 and 4.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{down} 4>&{up}', "bash", *command],
            pass_fds=(down, up), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "HOME": self._folder})
        os.close(down)
        os.close(up)
        try:
            self.call("Browser.getVersion", timeout_s=START_S)
        except (OSError, AssertionError) as error:
            self.__exit__()
            raise NoBrowser(f"{path} does not start here: {error}") from error
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        # Its helpers may write for a moment longer.
        shutil.rmtree(self._folder, ignore_errors=True)
        time.sleep(0.2)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, deadline):
        """The next message."""
        while b"\0" not in self._unread:
            left_s = deadline - time.monotonic()
            assert left_s > 0 and select.select([self._from], [], [], left_s)[0], "no answer"
            octets = os.read(self._from, 1 << 16)
            if not octets:
                raise OSError("it ended")
            self._unread += octets
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def call(self, method, session=None, timeout_s=ANSWER_S, **params):
        self._ids += 1
        message = {"id": self._ids, "method": method, "params": params}
        message.update({"sessionId": session} if session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._ids:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def wait_event(self, method, timeout_s=ANSWER_S):
        deadline = time.monotonic() + timeout_s
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._read(deadline))

    def open(self, path, width=1200, dark=False):
        """A page of its own for this file, when it has been loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", session)
        self.call("Emulation.setDeviceMetricsOverride", session, width=width, height=800,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", session, features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.events.clear()
        self.call("Page.navigate", session, url=pathlib.Path(path).resolve().as_uri())
        self.wait_event("Page.loadEventFired")
        return Page(self, session)


class Page:
    def __init__(self, browser, session):
        self._browser, self._session = browser, session

    def evaluate(self, text):
        """The value of an expression of JavaScript in it."""
        answer = self._browser.call("Runtime.evaluate", self._session, expression=text,
                                    returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def problems(self):
        said = []
        for event in self._browser.events:
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                said.append(params["exceptionDetails"])
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in (
                    "warning", "error"):
                said.append(params["entry"])
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in (
                    "warning", "error", "assert"):
                said.append(params)
        return said

    @property
    def asked_for(self):
        return [event["params"]["request"]["url"] for event in self._browser.events
                if event["method"] == "Network.requestWillBeSent"]

    def picture(self, path):
        """A screenshot of all of it, for whoever looks at a failure."""
        size = self._browser.call("Page.getLayoutMetrics", self._session)["cssContentSize"]
        answer = self._browser.call("Page.captureScreenshot", self._session,
                                    captureBeyondViewport=True,
                                    clip={**size, "scale": 1})
        pathlib.Path(path).write_bytes(base64.b64decode(answer["data"]))
