#!/usr/bin/python3
"""The live page in a real browser before a real server with two sessions of a real game: what is drawn is looked at pixel by
pixel; nothing that a client calls itself becomes markup; the token is asked for; the page breaks none of its own policy.
SGAPS_SCREENSHOTS=DIR keeps pictures of it."""
import asyncio
import json
import os
import sys

import h5py

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from browser import Browser
from live import PATIENCE, ROOT, Client, Server, Tap, base64_png, folder

tap = Tap()
HOSTILE = "<img src=x onerror=document.title='broken'>"
# Colours of an element's pixels, by way of a canvas: [grey spread, most orange, most blue].
LOOK = """(() => { const image = document.getElementById('%s'), c = document.createElement('canvas');
  c.width = image.naturalWidth; c.height = image.naturalHeight; const g = c.getContext('2d'); g.drawImage(image, 0, 0);
  const d = g.getImageData(0, 0, c.width, c.height).data; let low = 255, high = 0, orange = 0, cyan = 0, coloured = 0;
  for (let i = 0; i < d.length; i += 4) { low = Math.min(low, d[i + 1]); high = Math.max(high, d[i + 1]);
    coloured += d[i] !== d[i + 1]; orange += d[i] - d[i + 2] > 120; cyan += d[i] === 110 && d[i + 1] === 232; }
  return { width: c.width, spread: high - low, orange, cyan, coloured, of: d.length / 4 }; })()"""
# How many pixels of a curve's canvas are drawn in colour.
CURVE = """(() => { const c = document.getElementById('%s'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i + 3] > 128 && Math.abs(d[i] - d[i + 2]) > 40; return n; })()"""


async def play(client, session, name, debug, stop):
    """Frames of one session of the recording, over and over."""
    with h5py.File(os.path.join(ROOT, "examples/data/doom.h5")) as f:
        frames, states = f["sessions"][session]["frames"][()], f["sessions"][session]["state"][()]
    await client.start("doom", client_name=name, debug=debug)
    k = 0
    while not stop.is_set():
        image, state = frames[k % len(frames)], [float(x) for x in states[k % len(states)]]
        payload = client.frame(k, state=state, image=image)
        if debug and k % 3 == 0:
            await client.say("frame_data_debug", full_frame_base64=base64_png(image), **payload)
        else:
            await client.say("frame_data", **payload)
        client.sent.clear()
        k += 1
        await asyncio.sleep(0.1)


async def look(browser, server):
    await browser.size(1280, 900)
    await browser.open("http://127.0.0.1:%d/" % server.port)
    tap.ok(await browser.wait("document.querySelectorAll('#sessions li').length === 2"), "two sessions are listed")
    # The one that sends full frames has all three curves.
    await browser.wait("[...document.querySelectorAll('#sessions b')].some(b => b.textContent === 'unity')")
    await browser.ask("[...document.querySelectorAll('#sessions button')].find(b => b.textContent.includes('unity')).click()")
    drawn = await browser.wait("['latest', 'importance', 'samples'].every(id => !document.getElementById(id).hidden) && "
                               "['psnr', 'ssim', 'latency'].every(id => +document.getElementById(id).dataset.points > 5)")
    tap.ok(drawn, "reconstruction, map, samples and curves appear", await browser.ask("document.body.innerText"))
    p = await browser.ask(LOOK % "latest")
    tap.ok(p["width"] == 112 and p["spread"] > 60 and p["coloured"] == 0, "the reconstruction is a grey picture with content", p)
    p = await browser.ask(LOOK % "importance")
    tap.ok(p["width"] == 224 and p["orange"] > 50 and p["cyan"] >= 4 * 200, "the map is heat with the samples on it", p)
    p = await browser.ask(LOOK % "samples")
    tap.ok(p["spread"] > 60 and 0.3 < p["coloured"] / p["of"] < 0.999, "the samples lie on dark blue", p)
    for name in ("psnr", "ssim", "latency"):
        n = await browser.ask(CURVE % name)
        tap.ok(n > 30, "the curve of %s is drawn" % name, n)
    text = await browser.ask("document.body.innerText")
    tap.ok("500" in text and " dB" in text and " ms" in text and "doom" in text, "figures stand beside", text)
    tap.same(await browser.ask("document.title"), "SGAPS live", "a client's name is text, no markup")
    tap.ok(HOSTILE in text, "and is shown as it is", text)
    await shots(browser)


async def shots(browser):
    where = os.environ.get("SGAPS_SCREENSHOTS")
    if not where:
        return
    await browser.picture(os.path.join(where, "light.png"))
    await browser.size(1280, 900, dark=True)
    await asyncio.sleep(1.5)
    await browser.picture(os.path.join(where, "dark.png"))
    await browser.size(390, 844, scale=2, dark=True)
    await asyncio.sleep(1.5)
    await browser.picture(os.path.join(where, "phone.png"))
    await browser.size(1280, 900)


async def phone(browser):
    await browser.size(390, 844)
    await asyncio.sleep(0.3)
    wide = await browser.ask("document.documentElement.scrollWidth")
    tap.ok(wide <= 390, "nothing is wider than a phone", wide)


async def ending(browser, client):
    """The button ends the session that is shown, and only that."""
    await browser.ask("window.confirm = () => true, document.getElementById('end').click()")
    tap.ok(await client.wait("closed") is not None, "the button ends the session")
    tap.ok(await browser.wait("document.querySelectorAll('#sessions li').length === 1"), "which leaves the list")


async def main():
    log = os.path.join(folder(), "live.jsonl")
    server = Server("--log-metrics", log, "--set", "server.resolution=[112,112]", "--set", "sampling.strategy=adaptive",
                    "--set", "sampling.importance=residual", "--set", "server.stale_ms=0", small=False)
    stop = asyncio.Event()
    async with Browser(PATIENCE) as browser, Client(server.url) as a, Client(server.url) as b:
        players = [asyncio.ensure_future(play(a, "map03-a", "unity", True, stop)),
                   asyncio.ensure_future(play(b, "map11-b", HOSTILE, False, stop))]
        faults = await watch_policy(browser)
        await look(browser, server)
        await phone(browser)
        players[0].cancel()
        await ending(browser, a)
        stop.set()
        await asyncio.wait(players)
        tap.same(await faults(), [], "the browser has nothing to complain of")
        tap.same(server.stop(), 0, "the server ends in order")
        with open(log) as f:
            lines = [json.loads(line) for line in f]
        steps = [x["Session/Global_Step"] for x in lines]
        tap.ok(steps == list(range(len(steps))) and len({x["Session/Client_ID"] for x in lines}) == 2,
               "the log has one step over both sessions", steps[:20])
        shown = [x["Live/Importance Map"] for x in lines if "Live/Importance Map" in x]
        seconds = lines[-1]["time"] - lines[0]["time"]
        tap.ok(1 <= len(shown) <= seconds + 1 and all(os.path.getsize(os.path.join(os.path.dirname(log), s)) > 100 for s in shown),
               "with at most one picture a second", len(shown), seconds)
        await locked(browser)


async def watch_policy(browser):
    """Collects what the page's policy forbids and what its script throws."""
    await browser.call("Page.addScriptToEvaluateOnNewDocument", source="""window.faults = [];
        addEventListener('securitypolicyviolation', e => faults.push(e.violatedDirective + ' ' + e.blockedURI));
        addEventListener('error', e => faults.push(e.message));
        addEventListener('unhandledrejection', e => faults.push(String(e.reason)));""")

    async def faults():
        return await browser.ask("window.faults")
    return faults


async def locked(browser):
    token = os.path.join(folder(), "token")
    with open(token, "w") as f:
        f.write("open-sesame\n")
    server = Server("--token-file", token)
    await browser.open("http://127.0.0.1:%d/" % server.port)
    asks = "!document.getElementById('ask').hidden"
    tap.ok(await browser.wait(asks) and await browser.ask("document.getElementById('main').hidden"), "a closed server asks for its token")
    enter = "document.getElementById('token').value = '%s', document.getElementById('ask').requestSubmit()"
    await browser.ask(enter % "wrong")
    tap.ok(await browser.wait("document.getElementById('wrong').textContent !== ''"), "a wrong one is refused")
    await browser.ask(enter % "open-sesame")
    tap.ok(await browser.wait("!document.getElementById('main').hidden"), "the right one opens")
    tap.ok(await browser.wait("!document.getElementById('empty').hidden") and
           "/ws/stream" in await browser.ask("document.getElementById('empty').textContent"), "and without sessions it says where to point a client")
    server.stop()


if not Browser.there():
    print("1..0 # SKIP chromium is not installed")
    sys.exit(0)
asyncio.run(main())
tap.done()
