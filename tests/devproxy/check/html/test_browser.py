"""The page in a real browser: headless Chromium draws it, measures it, prints it."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import pytest

from devproxy.check.html.page import report_page
from devproxy.process import run
from tests.devproxy.check.html.pages import page

pytestmark = pytest.mark.programs
BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium") or ""
if not BROWSER:
    pytest.skip("needs chromium-headless-shell", allow_module_level=True)

# What the page itself forbids: a script of the test's own, in a copy without the policy, that writes what it measured.
MEASURE = """
<script>
const wide = [...document.querySelectorAll("body *")].filter(
    e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll"));
const rule = getComputedStyle(document.body);
document.title = "MEASURED" + JSON.stringify({
    page: document.documentElement.scrollWidth, window: innerWidth, wide: wide.map(e => e.className || e.tagName),
    cards: document.querySelectorAll(".device").length, back: rule.backgroundColor,
    hidden: [...document.querySelectorAll("h2, h3, .finding, .device")].filter(e => !e.getBoundingClientRect().height).length,
});
</script>
"""


def browse(tmp_path: Path, text: str, *arguments: str) -> str:
    """Chromium on a page, in a network namespace with nothing in it."""
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    profile = f"--user-data-dir={tmp_path}/profile"
    always = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", profile)
    isolated = ["unshare", "--map-root-user", "--net", BROWSER, *always, *arguments, f"file://{file}"]
    return run(isolated, timeout=90, cwd=str(tmp_path)).out


def measured(tmp_path: Path, width: int, *arguments: str, text: str = "") -> dict[str, object]:
    text = re.sub(r"<meta http-equiv[^>]*>", "", text or report_page(page())).replace("</body>", MEASURE + "</body>")
    drawn = browse(tmp_path, text, f"--window-size={width},900", "--dump-dom", *arguments)
    found = re.search(r"MEASURED(\{.*?\})</title>", drawn)
    assert found is not None
    measures: dict[str, object] = json.loads(found[1].replace("&quot;", '"'))
    return measures


def pixels(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and the red, green and blue of the top left corner (PNG specification, 4.1)."""
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    assert depth == 8
    assert colour in (2, 6)
    data, place = b"", 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            data += png[place + 8 : place + 8 + length]
        place += length + 12
    # The first pixel has nothing to its left or above it: every filter leaves it as it is.
    return width, height, zlib.decompress(data)[1:4]


@pytest.mark.parametrize("width", [1400, 500])
def test_nothing_is_wider_than_the_window_and_nothing_is_hidden(tmp_path: Path, width: int) -> None:
    found = measured(tmp_path, width)
    assert found["wide"] == []
    assert found["page"] == found["window"] == width
    assert found["hidden"] == 0
    assert found["cards"] == 22  # 8 GPUs, 4 switches, 2 network adapters, 8 render nodes


def test_it_is_drawn_in_light_and_in_dark(tmp_path: Path) -> None:
    text = report_page(page())
    corners = []
    for scheme in ("1", "0"):
        shot = tmp_path / f"{scheme}.png"
        wanted = (f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}")
        browse(tmp_path, text, "--window-size=1300,2000", *wanted)
        width, height, corner = pixels(shot.read_bytes())
        assert (width, height) == (1300, 2000)
        corners.append(corner)
    assert corners == [b"\xff\xff\xff", b"\x0d\x11\x17"]


def test_it_prints(tmp_path: Path) -> None:
    paper = tmp_path / "page.pdf"
    browse(tmp_path, report_page(page()), f"--print-to-pdf={paper}")
    data = paper.read_bytes()
    assert data.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 12


def test_the_policy_keeps_scripts_from_running(tmp_path: Path) -> None:
    text = report_page(page()).replace("</body>", "<script>document.title = 'ran'</script></body>")
    assert "<title>ran</title>" not in browse(tmp_path, text, "--dump-dom")
    assert "<title>devproxy doctor</title>" in browse(tmp_path, text, "--dump-dom")
