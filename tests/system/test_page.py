# SPDX-License-Identifier: BSD-2-Clause
"""The page of a peer as a browser shows it: Chromium takes screenshots, and the colours of their pixels are looked at."""

import itertools
import json
import os
import re
import shutil
import struct
import subprocess
import urllib.request
import zlib

import pytest

from p2pdi.documents import document

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--force-device-scale-factor=1",
         "--enable-logging=stderr"]
TITLES = {
    1: "Host Software",
    20: "A title that goes on and on, so that it takes more than a line on a telephone and perhaps on a desk as well",
    2616: "AWordThatHasNoPlaceToBreakItAndIsLongerThanATelephoneIsWide" * 3,
    9110: "HTTP Semantics",
    2147483647: "The last number there is",
}
EDITORS_INDEX = "".join(
    f"{number:04} {title}. A. Author. June 2022. (Format: TXT){more} (Status: UNKNOWN) (DOI: 10.17487/RFC{number:04})\n\n"
    for number, title, more in [(1, TITLES[1], ""), (20, TITLES[20], " (Obsoleted by RFC9110)"),
                                (2616, TITLES[2616], " (Obsoleted by RFC7230, RFC7231, RFC7232, RFC7233, RFC9110)"),
                                (9110, TITLES[9110], "")])
PADDING = 16            # of the page, at its sides
WIDTH = 960             # of the page in a wide window


@pytest.fixture(scope="module")
def peer(shared):
    p = shared.peer("seen", {n: document(n, 40 * n % 1000003) for n in TITLES}, start=False)
    with open(os.path.join(p.library, "rfc-index.txt"), "w", encoding="ascii") as f:
        f.write(EDITORS_INDEX)
    with open(os.path.join(p.library, "rfc2147483647.json"), "w", encoding="ascii") as f:
        json.dump({"title": TITLES[2147483647]}, f)
    p.start()
    p.wait_scanned(len(TITLES))
    return p


# ---- the browser ----

class Browser:
    def __init__(self, program, directory):
        self.program, self.directory, self.n = program, str(directory), 0

    def run(self, *arguments):
        """Gives what it prints, and what it logs. Each run is that of a new user."""
        self.n += 1
        home = os.path.join(self.directory, f"home-{self.n}")
        os.makedirs(home)
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        environment.update(HOME=home, XDG_CONFIG_HOME=home, XDG_CACHE_HOME=home)
        r = subprocess.run([self.program, *FLAGS, f"--user-data-dir={home}/data", *arguments], stdin=subprocess.DEVNULL,
                           capture_output=True, check=False, timeout=120, cwd=home, env=environment)
        errors = r.stderr.decode("utf-8", "replace")
        assert r.returncode == 0, errors[-2000:]
        assert [line for line in errors.split("\n") if "Content Security Policy" in line] == []
        return r.stdout.decode("utf-8")

    def shot(self, url, width, height, dark):
        path = os.path.join(self.directory, f"shot-{width}-{'dark' if dark else 'light'}.png")
        self.run(f"--screenshot={path}", f"--window-size={width},{height}",
                 f"--blink-settings=preferredColorScheme={0 if dark else 1}", url)
        with open(path, "rb") as f:
            picture = Picture(f.read())
        assert (picture.width, picture.height) == (width, height)
        return picture


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("there is no Chromium here (bootstrap --ci installs it)")
    b = Browser(program, tmp_path_factory.mktemp("browser"))
    try:
        b.run("--dump-dom", "data:text/html,works")
    except (AssertionError, OSError, subprocess.TimeoutExpired) as e:
        pytest.skip(f"Chromium does not run here: {e}")
    return b


class Picture:
    """A PNG of 8 bits a channel, as Chromium writes it: rows of pixels."""

    def __init__(self, data):
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        at, packed = 8, b""
        while at < len(data):
            size, kind = struct.unpack(">I4s", data[at:at + 8])
            chunk = data[at + 8:at + 8 + size]
            assert struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + chunk)
            if kind == b"IHDR":
                self.width, self.height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunk)
                assert depth == 8 and colour in (2, 6) and not interlaced
                self.channels = 3 if colour == 2 else 4
            elif kind == b"IDAT":
                packed += chunk
            at += size + 12
        self.rows = self.unfilter(zlib.decompress(packed))

    def unfilter(self, raw):
        """What can be had of whole rows at once is: they are many, and Python is slow."""
        n, size = self.channels, self.width * self.channels
        rows, before = [], bytes(size)
        assert len(raw) == (size + 1) * self.height
        for y in range(self.height):
            kind, row = raw[y * (size + 1)], raw[y * (size + 1) + 1:(y + 1) * (size + 1)]
            assert kind <= 4
            if kind == 2:
                row = before if not any(row) else bytes((a + b) & 255 for a, b in zip(row, before))
            elif kind:
                whole = bytearray(size)
                for channel in range(n):
                    whole[channel::n] = self.along(kind, row[channel::n], before[channel::n])
                row = bytes(whole)
            rows.append(row)
            before = row
        return rows

    @staticmethod
    def along(kind, row, before):
        """One channel of a row that was predicted from its left."""
        if kind == 1:
            return bytes(x & 255 for x in itertools.accumulate(row))
        left = corner = 0
        made = bytearray()
        for x, up in zip(row, before):
            if kind == 3:
                left = x + (left + up) // 2 & 255
            else:
                away, away_up, away_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                add = left if away <= away_up and away <= away_corner else up if away_up <= away_corner else corner
                left, corner = x + add & 255, up
            made.append(left)
        return made

    def pixel(self, x, y):
        return tuple(self.rows[y][x * self.channels:x * self.channels + 3])

    def column(self, x):
        return [self.pixel(x, y) for y in range(self.height)]

    @property
    def back(self):
        return self.pixel(1, 1)

    def pixels(self, y):
        row = self.rows[y]
        return zip(row[0::self.channels], row[1::self.channels], row[2::self.channels])

    def colours(self):
        return {pixel for y in {row: y for y, row in enumerate(self.rows)}.values() for pixel in self.pixels(y)}

    def written(self, least=4.5):
        """In which rows pixels stand out from the background as letters must."""
        clear = {colour for colour in self.colours() if contrast(colour, self.back) >= least}
        return [not clear.isdisjoint(self.pixels(y)) for y in range(self.height)]

    def lines(self):
        """Lines of text: bands of rows in which something is written."""
        marks = self.written()
        return sum(1 for y in range(1, self.height) if marks[y] and not marks[y - 1])


def luminance(colour):
    """Of WCAG 2.1."""
    parts = [c / 255 for c in colour]
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# ---- tests ----

def source(peer):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{peer.text}/", timeout=20) as f:
        return f.read().decode("utf-8")


def parse_colour(text):
    if len(text) == 3:
        text = "".join(c * 2 for c in text)
    return tuple(bytes.fromhex(text))


def colours(css):
    return {name: parse_colour(value) for name, value in re.findall(r"--(\w+):#([0-9a-f]+)", css)}


def schemes(peer):
    """The colours of the style: (light, dark)."""
    style = re.search(r"<style>(.*?)</style>", source(peer), re.DOTALL)[1]
    light, dark = re.findall(r":root\{(.*?)\}", style)
    return colours(light), colours(dark)


def test_colours_can_be_read_by_everybody(peer):
    for scheme in schemes(peer):
        assert set(scheme) == {"back", "text", "dim", "line", "link"}
        assert contrast(scheme["text"], scheme["back"]) >= 12
        assert contrast(scheme["dim"], scheme["back"]) >= 4.5 and contrast(scheme["link"], scheme["back"]) >= 4.5


# Starting a browser costs more than what it shows, and what is wide does not depend on what is dark.
@pytest.mark.parametrize("dark, width, height", [(False, 1000, 500), (True, 400, 1000)], ids=["light-wide", "dark-narrow"])
def test_page_is_seen(peer, browser, dark, width, height):
    picture = browser.shot(f"http://{peer.text}/", width, height, dark)
    scheme = schemes(peer)[dark]
    # The browser's wish is followed, so the style is in use: its policy lets it.
    assert picture.back == scheme["back"]
    assert luminance(picture.back) < 0.02 if dark else luminance(picture.back) > 0.9
    # Name, sentence, head of the table, and a line for each document at least.
    assert picture.lines() >= 3 + len(TITLES)
    assert {scheme["text"], scheme["link"], scheme["line"]} <= picture.colours()
    # Nothing runs over the sides (a round letter does, by a pixel), and the table goes from one to the other.
    for x in (*range(PADDING - 3), *range(width - PADDING + 3, width)):
        assert set(picture.column(x)) == {picture.back}, f"column {x}"
    left = max(0, (width - WIDTH) // 2) + PADDING
    ends = [(picture.pixel(left + 1, y), picture.pixel(width - left - 2, y)) for y in range(picture.height)]
    assert ends.count((scheme["line"], scheme["line"])) == 1 + len(TITLES)


def test_browser_reads_what_was_meant(peer, browser):
    """What a parser finds to mend it mends in silence: the tree it made is what was sent."""
    after = peer.mark()
    tree = browser.run("--dump-dom", f"http://{peer.text}/")
    assert re.sub(r"\s+", "", tree) == re.sub(r"\s+", "", source(peer).replace("&quot;", '"').replace("&#39;", "'"))
    # It asked for nothing else, but for what every browser asks for.
    peer.wait_log(r"/ was asked for: 200 \(http-page", after)
    asked = set(re.findall(r"received from [^ ]+: (?:GET|HEAD) (\S+)", peer.log(after)))
    assert asked <= {"/", "/favicon.ico"}
