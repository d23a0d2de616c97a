"""A headless Chromium for tests of pages, driven through its debugging port: open a page, wait for what its script says,
look at it."""
import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

import websockets


class Browser:
    def __init__(self, patience=60):
        self.patience = patience
        self.folder = tempfile.TemporaryDirectory(prefix="sgaps-browser-")
        self.count = 0

    @staticmethod
    def there():
        return shutil.which("chromium") is not None

    async def __aenter__(self):
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            ["chromium", "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
             "--remote-debugging-port=0", "--user-data-dir=" + self.folder.name, *root, "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        said = os.path.join(self.folder.name, "DevToolsActivePort")
        end = time.monotonic() + self.patience
        while not (os.path.exists(said) and open(said).read().count("\n")):
            assert time.monotonic() < end and self.process.poll() is None, "chromium does not start"
            await asyncio.sleep(0.05)
        port, path = open(said).read().split("\n")[:2]
        self.ws = await websockets.connect("ws://127.0.0.1:%s%s" % (port, path), max_size=None, ping_interval=None,
                                           open_timeout=self.patience)
        self.session = None
        target = await self.call("Target.createTarget", url="about:blank")
        self.session = (await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True))["sessionId"]
        await self.call("Page.enable")
        return self

    async def __aexit__(self, *_):
        try:
            self.session = None
            await asyncio.wait_for(self.call("Browser.close"), 5)
        except (asyncio.TimeoutError, websockets.ConnectionClosed):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        await self.ws.close()

    async def call(self, method, **params):
        self.count += 1
        number = self.count
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        await self.ws.send(json.dumps(message))
        while True:
            answer = json.loads(await asyncio.wait_for(self.ws.recv(), self.patience))
            if answer.get("id") == number:
                assert "error" not in answer, "%s: %s" % (method, answer["error"])
                return answer["result"]

    async def size(self, width, height, scale=1, dark=False):
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme",
                                                                 "value": "dark" if dark else "light"}])

    async def open(self, url):
        await self.call("Page.navigate", url=url)

    async def ask(self, script):
        """The value of a JavaScript expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(json.dumps(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    async def wait(self, script):
        """Until the expression is true; whether it became so. What it throws (the page is not there yet) is not true."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            if await self.ask("(() => { try { return Boolean(%s); } catch { return false; } })()" % script):
                return True
            await asyncio.sleep(0.1)
        return False

    async def picture(self, path):
        """A PNG of the whole page."""
        size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                                 clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})
        with open(path, "wb") as f:
            f.write(base64.b64decode(answer["data"]))
