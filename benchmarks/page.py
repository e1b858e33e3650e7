"""How fast the page is, in a real browser: `python -m benchmarks.page`; prints a table.

It starts `captioner ui` and the system's Chromium, and measures what a person waits for: until the
page can be used, until a dropped photo has its caption, and until the map of a touched word is
painted; the last two also with a photo of twelve megapixels and over a network that takes its time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Reports on standard error whatever the server connects to beyond this machine.
_SERVER = """
import sys
from ipaddress import ip_address
def watch(event, arguments):
    if event not in ("socket.connect", "socket.getaddrinfo"):
        return
    name = arguments[1][0] if event == "socket.connect" else arguments[0]
    if isinstance(name, bytes):
        name = name.decode()
    if name in (None, "", "localhost") or not isinstance(arguments[1], (tuple, int, str)):
        return
    try:
        here = ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        here = False
    if not here:
        print("LEAVES THE MACHINE:", event, name, file=sys.stderr, flush=True)
sys.addaudithook(watch)
from captioner.cli import main
sys.exit(main(sys.argv[1:]))
"""
LEAVES = "LEAVES THE MACHINE"  # what that line starts with
_LATENCY = 300  # milliseconds a request waits, of the slow network
_REST = 160  # milliseconds between touches: a hand is not there again within a frame
_PATIENCE = 120_000  # milliseconds; a slow machine is slow, not broken
# The page's own clock: Playwright asks again after 100 milliseconds, and then after 500.
_READY = """window.captionerReady = new Promise((told) => {
  const observer = new MutationObserver(() => {
    const photo = document.querySelector('#photo input[type=file]');
    if (!photo || !document.querySelector('.strip .example')) return;
    observer.disconnect();
    told(performance.now());
  });
  observer.observe(document, {childList: true, subtree: true});
})"""
# Not the words of the photo that the page begins with, and not before they are painted.
_DROP = """width => ({told: new Promise((told) => {
  let start;
  const there = () => {
    const viewer = document.querySelector('#caption-viewer .viewer');
    const busy = viewer.classList.contains('busy');
    const canvas = viewer.querySelector(`canvas.photo[width='${width}']`);
    const words = viewer.querySelector('.main .word');
    if (start === undefined || !canvas || !words || busy) return;
    observer.disconnect();
    requestAnimationFrame(() => {
      const {port1, port2} = new MessageChannel();
      port1.onmessage = () => told(performance.now() - start);
      port2.postMessage(0);
    });
  };
  const observer = new MutationObserver(there);
  const watched = {childList: true, subtree: true, attributes: true};
  const dropped = () => { start = performance.now(); };
  document.addEventListener('change', dropped, {capture: true, once: true});
  observer.observe(document.querySelector('#caption-viewer'), watched);
})})"""
_TOUCH = """node => new Promise((told) => {
  const canvas = document.querySelector('#caption-viewer canvas.photo');
  const start = performance.now();
  node.dispatchEvent(new PointerEvent('pointerenter'));
  requestAnimationFrame(() => {  // the message comes after that frame is painted
    const {port1, port2} = new MessageChannel();
    port1.onmessage = () => told(performance.now() - start);
    port2.postMessage(0);
  });
})"""


def chromium() -> str | None:
    """Where the system's Chromium lies; None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass(frozen=True)
class Server:
    """`captioner ui` as a process of its own."""

    address: str
    process: subprocess.Popen[str]
    log: Path  # its standard error


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    """`captioner ui` on a free port of this machine, stopped at the end.

    Raises:
        RuntimeError: it ended before it served; the message holds what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        environment = {**os.environ, "GRADIO_TEMP_DIR": str(Path(folder) / "uploads")}
        command = [sys.executable, "-c", _SERVER, "ui", "--port", "0", *arguments]
        with log.open("w") as errors:
            process = subprocess.Popen(
                command,
                cwd=Path(__file__).parent.parent,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()  # once the weights are loaded
            if "http://" not in said:
                raise RuntimeError(f"captioner ui did not start: {log.read_text()}")
            address = said.split()[2]
            _await(address, process, log)
            yield Server(address, process, log)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]


def _await(address: str, process: subprocess.Popen[str], log: Path) -> None:
    import httpx

    while process.poll() is None:
        try:
            if httpx.get(f"{address}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"captioner ui did not start: {log.read_text()}")


def _photos(folder: Path) -> dict[str, Path]:
    """One photo as it is sent around, and one as a camera makes it."""
    from PIL import Image

    from captioner import examples

    _, path = next(iter(examples.found()))
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    small, large = folder / "small.jpg", folder / "large.jpg"
    photo.resize((640, 480)).save(small)
    photo.resize((4000, 3000)).save(large, quality=92)
    return {"0.3 megapixels": small, "12 megapixels": large}


def _visit(browser: Any, address: str) -> tuple[Any, float]:
    """A fresh profile's page, and how long it took until its photo can be dropped, in seconds."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(_PATIENCE)
    page.add_init_script(_READY)
    page.goto(address)
    page.locator(".strip .example").first.wait_for()
    return page, float(page.evaluate("() => captionerReady")) / 1000


def _slow(page: Any) -> None:
    unlimited = {"downloadThroughput": -1, "uploadThroughput": -1}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions", {"offline": False, "latency": _LATENCY, **unlimited}
    )


def _drop(page: Any, photo: Path) -> float:
    """Drops a photo; how long until its caption is there, in seconds."""
    from PIL import Image

    from captioner.ui.values import LONGEST

    with Image.open(photo) as opened:
        width = round(opened.width * min(1, LONGEST / max(opened.size)))
    told = page.evaluate_handle(_DROP, width)
    page.locator("#photo input[type=file]").set_input_files(photo)
    return float(told.evaluate("({told}) => told")) / 1000


def _touches(page: Any, rounds: int) -> list[float]:
    """From a word being touched to its map being painted, in milliseconds."""
    words = page.locator("#caption-viewer .main .word")
    return [_touch(page, word) for _ in range(rounds) for word in words.all()]


def _touch(page: Any, word: Any) -> float:
    page.wait_for_timeout(_REST)
    return float(word.evaluate(_TOUCH))


@dataclass(frozen=True)
class _Row:
    what: str
    photo: str
    network: str
    values: list[float]
    unit: str

    def __str__(self) -> str:
        middle, worst = statistics.median(self.values), max(self.values)
        numbers = f"{middle:.3g} {self.unit} | {worst:.3g} {self.unit} | {len(self.values)}"
        return f"| {self.what} | {self.photo} | {self.network} | {numbers} |"


def _measure(browser: Any, address: str, photos: dict[str, Path], visits: int) -> Iterator[_Row]:
    ready: list[float] = []
    for network in ("at once", f"{_LATENCY} ms a request"):
        for name, photo in photos.items():
            first: list[float] = []
            touched: list[float] = []
            for _ in range(visits):
                page, waited = _visit(browser, address)
                ready.append(waited)
                if network != "at once":
                    _slow(page)
                first.append(_drop(page, photo))
                touched += _touches(page, 3)
                page.context.close()
            yield _Row("first caption after the drop", name, network, first, "s")
            yield _Row("touched word to painted map", name, network, touched, "ms")
    yield _Row("page ready", "", "at once", ready, "s")


def main() -> None:
    """Measures and prints the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--visits", type=int, default=5, help="of each kind (default: 5)")
    visits = parser.parse_args().visits
    path = chromium()
    if path is None:
        sys.exit("there is no Chromium; install Debian's package `chromium`")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving() as server,
        sync_playwright() as running,
    ):
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        print("| what | photo | network | median | worst | times |\n|---|---|---|---|---|---|")
        for row in _measure(browser, server.address, _photos(Path(folder)), visits):
            print(row, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
