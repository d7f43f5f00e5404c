"""The page: it says what the audit found, escapes what it quotes, and works in a real browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.auditing import result as audit_result
from parchunk.report import html_page
from parchunk.report.markup import Markup, element, escaped

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VOID = {"meta", "rect", "path", "line"}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """An audit with gaps, strays, a damaged file, an unbuilt partition and hostile names."""
    folder = tmp_path_factory.mktemp("report")
    root = zarr.open_group(folder / "store.zarr", mode="w", zarr_format=3)
    group = root.create_group("a<b>&'\"")
    for name, chunks in (("t", (1, 2, 3)), ("very_long_name_" * 8, (2, 2, 3))):
        array = group.create_array(
            name, shape=(48, 4, 6), chunks=chunks, dtype="f4", dimension_names=("time", "y", "x")
        )
        array[...] = np.random.default_rng(0).normal(size=array.shape)
    hours = {"units": "hours since 2003-05-01"}
    array = root.create_array(
        "time", shape=(48,), chunks=(48,), dtype="i8", dimension_names=("time",), attributes=hours
    )
    array[...] = np.arange(48)
    base = folder / "store.zarr" / "a<b>&'\""
    for step in (5, 17, 18, 19):
        shutil.rmtree(base / f"t/c/{step}/0")
    (base / "t/c/<script>alert(1)").write_bytes(b"x")
    plan = parchunk.plan(str(folder / "store.zarr"), split="time", region=12, record_size=8)
    parchunk.build(plan, str(folder / "refs"))
    (folder / "refs" / "a<b>&'\"/t/refs.21.parq").write_bytes(HOSTILE.encode())
    (folder / "refs/.parchunk/receipts" / "a<b>&'\"" / f"{'very_long_name_' * 8}/1.json").unlink()
    return parchunk.audit(str(folder / "refs"), against_source=True)


@pytest.fixture(scope="module")
def page(audited):
    return html_page(audited)


class Reader(HTMLParser):
    """Checks that tags nest, and gathers what a test asks about."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def read(page):
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader


def test_nothing_that_is_quoted_becomes_markup(page, read):
    assert "script" not in read.tags
    assert "img" not in read.tags
    assert not [a for a in read.attributes if a[1].startswith("on")]
    assert "<script>alert(1)" in "".join(read.text)
    assert "a<b>&'\"/t" in "".join(read.text)


def test_nothing_is_fetched(page, read):
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page
    for _, name, value in read.attributes:
        assert name not in ("src", "srcset", "data", "action", "xlink:href")
        assert name != "href" or value.startswith("#")
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in read.attributes


def test_verdict_comes_first(audited, read):
    text = "".join(read.text)
    verdict = audited.verdict[0].upper() + audited.verdict[1:]
    assert "Damaged" in verdict
    assert "nfinished" in verdict
    assert text.index(verdict) < text.index("Findings (")
    for finding in audited.findings:
        assert finding.message in text
    assert "17 to 19" in text
    assert "2003-05-01 17:00 to 2003-05-01 19:00" in text


def test_readable_without_eyes_or_a_mouse(read):
    assert ("html", "lang", "en") in read.attributes
    headings = [int(tag[1]) for tag in read.tags if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    svgs = read.tags.count("svg")
    assert svgs
    labels = [v for t, n, v in read.attributes if (t, n) == ("svg", "aria-label")]
    assert len(labels) == svgs == read.attributes.count(("svg", "role", "img"))
    assert any("missing" in label or "gaps" in label for label in labels)
    assert read.tags.count("table") == read.tags.count("caption")
    assert ("div", "tabindex", "0") in read.attributes
    assert ("a", "href", "#findings") in read.attributes
    ids = [v for _, n, v in read.attributes if n == "id"]
    assert "findings" in ids
    assert len(ids) == len(set(ids))


def test_markup_escapes_by_construction():
    assert escaped("<&>\"'") == "&lt;&amp;&gt;&quot;&#x27;"
    assert (
        element("p", "<b>", Markup("<i></i>"), title='"')
        == '<p title="&quot;">&lt;b&gt;<i></i></p>'
    )
    assert escaped("a\x00b\ud800") == "a\\x00b\\ud800"


def test_percent_never_rounds_to_all_or_nothing():
    assert audit_result.percent(1.0) == "100.0 %"
    assert audit_result.percent(0.0) == "0.0 %"
    assert audit_result.percent(1 - 1e-6) == "99.9999 %"
    assert audit_result.percent(1e-6) == "0.0001 %"


def browse(page, folder, width, script="", dark=False, picture=None):
    """Open the page in Chromium; return what ``script`` evaluates to there, and its errors."""
    probe = (
        "<script>const seen=[];addEventListener('error',e=>seen.push(String(e.message)));"
        "addEventListener('load',()=>{document.documentElement.setAttribute('data-probe',"
        f"JSON.stringify([{script or 'null'},seen]))}})</script>"
    )
    # The copy under test lets this one script run; the page itself forbids all.
    csp = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*/>', page)[0]
    path = Path(folder) / "page.html"
    path.write_text(page.replace(csp, probe) if script else page, encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}/profile", f"--window-size={width},2000"]
    if dark:
        command.append("--blink-settings=preferredColorScheme=0")
    command.append(f"--screenshot={picture}" if picture else "--dump-dom")
    ran = subprocess.run(
        [*command, path.as_uri()], capture_output=True, text=True, timeout=250, check=True
    )
    if not script:
        return ran.stdout
    reader = Reader.__new__(Reader)
    HTMLParser.__init__(reader)
    reader.open, reader.tags, reader.text, reader.attributes = [], [], [], []
    reader.handle_endtag = lambda tag: None
    reader.feed(ran.stdout)
    probed = next(v for t, n, v in reader.attributes if (t, n) == ("html", "data-probe"))
    value, errors = json.loads(probed)
    assert errors == []
    return value


needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium"
)


@needs_chromium
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_fits_its_window(page, tmp_path, width):
    script = (
        "[innerWidth, document.documentElement.scrollWidth,"
        "[...document.querySelectorAll('details')].length,"
        "document.querySelector('.verdict').getBoundingClientRect().bottom,"
        "[...document.querySelectorAll('.verdict,.strips,main>dl,ul.findings,details.array')]"
        ".map(e=>[e.className||e.tagName,e.getBoundingClientRect().top])]"
    )
    inner, wide, details, bottom, seen = browse(page, tmp_path, width, script)
    assert inner <= 500 if width == 390 else inner == width
    assert wide <= inner, "the page scrolls sideways"
    assert details >= 3
    assert bottom < 700, "the verdict is in sight without scrolling"
    names, tops = zip(*seen, strict=True)
    assert names[:4] == ("verdict bad", "strips", "DL", "findings")
    assert names[4:] == ("array", "array", "array", "DL")
    assert list(tops) == sorted(tops)


@needs_chromium
def test_it_prints_on_few_pages(page, tmp_path):
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    flags = [*FLAGS, f"--user-data-dir={tmp_path}/profile", f"--print-to-pdf={tmp_path}/page.pdf"]
    subprocess.run(
        [CHROMIUM, *flags, (tmp_path / "page.html").as_uri()],
        capture_output=True,
        timeout=250,
        check=True,
    )
    pages = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes()))
    assert 1 <= pages <= 4


@needs_chromium
def test_dark_mode_and_contrast(page, tmp_path):
    script = (
        "['body','.soft','.remedy','.tag','.verdict'].map(s=>{const e=document.querySelector(s);"
        "let b=e,c;do{c=getComputedStyle(b).backgroundColor;b=b.parentElement}"
        "while(b&&c==='rgba(0, 0, 0, 0)');return [getComputedStyle(e).color,c]})"
    )
    backgrounds = []
    for dark in (False, True):
        folder = tmp_path / str(dark)
        folder.mkdir()
        for fore, back in browse(page, folder, 1280, script, dark):
            assert contrast(fore, back) >= 4.5, (fore, back, dark)
            backgrounds.append(luminance(back))
    assert backgrounds[0] > 0.8
    assert backgrounds[5] < 0.1


@needs_chromium
def test_its_policy_forbids_scripts(page, tmp_path):
    hostile = page.replace("</main>", "<script>document.title='ran'</script></main>")
    dumped = browse(hostile, tmp_path, 800)
    assert "<title>ran</title>" not in dumped


@needs_chromium
def test_pictures_are_drawn(page, tmp_path):
    picture = tmp_path / "page.png"
    browse(page, tmp_path, 1280, picture=picture)
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 20_000
    script = (
        "[...document.querySelectorAll('details[open] svg path')].map(p=>"
        "[getComputedStyle(p).fill,p.getBoundingClientRect().width])"
    )
    drawn = browse(page, tmp_path, 1280, script)
    assert drawn
    assert all(width > 0 for _, width in drawn)
    assert len({fill for fill, _ in drawn}) >= 3
    assert "rgb(0, 0, 0)" not in {fill for fill, _ in drawn}, "a class without a colour"


def luminance(colour: str) -> float:
    parts = [int(v) / 255 for v in re.findall(r"[0-9]+", colour)[:3]]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_page_of_many_arrays_stays_small(tmp_path):
    root = zarr.open_group(tmp_path / "s", mode="w", zarr_format=2)
    for at in range(50):
        root.create_array(f"a{at}", shape=(4,), chunks=(1,), dtype="f4")[...] = at + 1
    parchunk.build(parchunk.plan(str(tmp_path / "s")), str(tmp_path / "out"))
    made = html_page(parchunk.audit(str(tmp_path / "out")))
    assert "Pictures are drawn for 40 arrays" in made
    assert len(made) < 400_000
