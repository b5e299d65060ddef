"""The page in a real browser: what it shows, how it goes on, who sees it, and that everybody can read it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import Visit, launched
from linked import STREAM, linked_pair
from probes import (
    ANNOUNCED,
    CONTRAST,
    FOCUSABLE,
    FOCUSED,
    HEADINGS,
    IDS,
    INJECTED,
    OUTLINE,
    PLACES,
    TOO_WIDE,
    UNNAMED,
)
from servicekit import ALL_SCOPES, SECRETS, TOKENS, serving

import tidal
from tidal.links import MemberSeen, RegionSeen
from tidal.serve import Scope, create_app

HOSTILE = "<img src=x onerror=alert(1)>"
SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life=("7d", "1d"), windows=("1h", "24h"), velocity=True)
    .signal("like", half_life="1d", signed=True)
    .signal("follow", kind="user", windows=("7d",))
    .build()
)
LONG_KEY = "a-key-without-any-place-to-break-it-" * 4


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for all tests here, and gone after: its driver keeps an event loop running in this thread, beside
    which no other may run.
    """
    with launched() as browser:
        yield browser


@pytest.fixture
def db(tmp_path: Path) -> Iterator[tidal.TidalDb]:
    with tidal.open(tmp_path / "shop.tidal", schema=SCHEMA, sync="os") as db:
        db.ingest(signal="view", entity_id=[HOSTILE, LONG_KEY, *map(str, range(15))])
        db.signal("view", HOSTILE, 5.0)
        db.items.put(HOSTILE, {"title": "</script><b>bold"})
        db.signal("follow", "kim")
        db.marks.set("replica", 3)
        yield db


@pytest.fixture
def url(db: tidal.TidalDb) -> Iterator[str]:
    with serving(create_app(db)) as service:
        yield service.url


def test_it_shows_the_store_and_goes_on_without_a_jump(browser: Any, db: tidal.TidalDb, url: str) -> None:
    db.jobs.wait(db.jobs.create("signals", format="csv").id, 60)
    with Visit(browser, url) as visit:
        visit.until("#store", "shop.tidal")
        visit.until("#facts", "Events recorded19")
        assert visit.text("#state") == "Healthy"
        first = visit.page.locator("#tops tbody tr").first
        assert first.locator(".text span").inner_text() == HOSTILE
        assert first.locator(".text small").inner_text() == "</script><b>bold"
        assert visit.page.locator("main img, main b:not(.meters b)").count() == 0
        assert visit.page.title() == "shop.tidal · tidal"
        visit.until("#followers", "replica")
        visit.until("#jobs", "signals · csv")
        visit.until("#signals", "follow")
        before = visit.page.evaluate(PLACES)
        db.ingest(signal="view", entity_id=["riser"] * 40)
        visit.until("#facts", "Events recorded59")
        visit.until("#tops tbody tr:first-child", "riser")
        assert visit.page.evaluate(PLACES) == before
        assert visit.page.locator("#chart .line").get_attribute("d") is not None
        origin = urlsplit(url).netloc
        assert {urlsplit(asked).netloc for asked in visit.asked if not asked.startswith("data:")} == {origin}
        assert len(visit.asked) > 2
        assert visit.complaints == []


def test_signals_and_measures_are_picked_by_keyboard_alone(browser: Any, db: tidal.TidalDb, url: str) -> None:
    db.jobs.wait(db.jobs.create("signals").id, 60)
    with Visit(browser, url) as visit:
        visit.until("#jobs a", "b")
        page, reached, every = visit.page, [], visit.page.evaluate(FOCUSABLE)
        for _ in every:
            page.keyboard.press("Tab")
            reached.append(page.evaluate(FOCUSED))
            assert page.evaluate(OUTLINE) == "solid", f"{reached[-1]} does not show that it is focused"
        assert reached == every, "in the order in which it is read"
        assert {"chart", "tab-view", "by-0", "by-1"} <= set(reached)
        page.locator("#chart").focus()
        db.ingest(signal="view", entity_id=[1] * 9)
        visit.until("#facts", "Events recorded28")
        visit.until_true("document.querySelector('#chart .line').getAttribute('d')")
        page.keyboard.press("ArrowLeft")
        assert visit.text(".tip").endswith("ago")
        page.keyboard.press("Escape")
        assert page.locator(".tip").is_hidden()
        page.locator("#tab-view").focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == "tab-like"
        assert page.locator("#tab-like").get_attribute("aria-selected") == "true"
        assert page.locator("[role=tab][tabindex='0']").count() == 1
        visit.until_true("document.querySelectorAll('#by-1 option').length === 2")
        page.keyboard.press("End")
        visit.until("#tops", "kim")
        page.keyboard.press("ArrowRight")
        visit.until_true("document.activeElement.id === 'tab-view'")
        visit.until_true("document.querySelectorAll('#by-0 option').length > 4")
        page.locator("#by-0").select_option("count.all")
        visit.until("#tops .card:first-child th", "events")
        assert visit.complaints == []


def test_a_follower_shows_its_leader_and_a_leader_its_followers(browser: Any, tmp_path: Path) -> None:
    with linked_pair(tmp_path) as pair:
        pair.leader.marks.set("warehouse", 2)
        pair.leader._links.attach("orders", lambda: STREAM)
        others = (MemberSeen(2, 84, 7, 3.0), MemberSeen(5, None))
        pair.leader._links.attach("region", lambda: RegionSeen(1, 60.0, members=others))
        with Visit(browser, f"http://{pair.leader.metrics_address}/") as visit:
            visit.until("#followers tr", "warehousea mark23")
            visit.until("#followers tr", "copylive50")
            visit.until("#streams tr", "orders40210")
            visit.until("#region", "This region1Stateexchanging")
            visit.until("#regions tr", "28473 s ago")
            visit.until("#regions tr", "5–0never")
            assert visit.page.locator("#leader").is_hidden()
            visit.page.set_viewport_size({"width": 360, "height": 800})
            assert visit.page.evaluate(TOO_WIDE) == [] and visit.page.evaluate(CONTRAST) == []
            assert visit.complaints == []
        with Visit(browser, f"http://{pair.follower.metrics_address}/") as visit:
            visit.until("#following", "Follows ascopyStatefollowingBehind0 events")
            assert visit.page.locator("#broker").is_hidden() and visit.page.locator("#others").is_hidden()
            pair.transport.close()
            visit.until("#following .bad", "this follower does not run")
            visit.until("#state", "Not well")
            visit.page.set_viewport_size({"width": 360, "height": 800})
            assert visit.page.evaluate(TOO_WIDE) == [] and visit.page.evaluate(CONTRAST) == []
            assert visit.complaints == []


def test_everybody_can_read_it(browser: Any, url: str) -> None:
    """At any width, in light and dark: nothing beyond the window, and texts of a contrast of 4.5."""
    with Visit(browser, url) as visit:
        visit.until("#followers", "replica")
        for width, scheme in itertools.product((360, 800, 1400), ("light", "dark")):
            visit.page.emulate_media(color_scheme=scheme)
            visit.page.set_viewport_size({"width": width, "height": 800})
            assert visit.page.evaluate(TOO_WIDE) == [], (width, scheme)
            assert visit.page.evaluate(CONTRAST) == [], (width, scheme)
            paper = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, paper[4:-1].split(","))) > 384) == (scheme == "light")


def test_everything_has_a_name_for_who_does_not_see_it(browser: Any, db: tidal.TidalDb, url: str) -> None:
    db.jobs.wait(db.jobs.create("signals").id, 60)
    with Visit(browser, url) as visit:
        visit.until("#jobs a", "b")
        page = visit.page
        for role in ("tab", "tabpanel", "combobox", "link", "table", "status", "region"):
            found = page.get_by_role(role).all()
            assert found, role
        assert page.evaluate(UNNAMED) == []
        ids = page.evaluate(IDS)
        assert len(ids) == len(set(ids))
        levels = page.evaluate(HEADINGS)
        assert levels[0] == "H1" and set(levels[1:]) == {"H2"}
        assert page.evaluate(ANNOUNCED) == ["state", "alert", "refused"], (
            "what changes each second is not announced"
        )


def test_with_tokens_it_asks_for_one_and_keeps_it_out_of_urls(browser: Any, db: tidal.TidalDb) -> None:
    db.ingest(signal="view", entity_id=list(range(100)))
    db.flush()
    job = db.jobs.wait(db.jobs.create("signals", format="csv").id, 60)
    with serving(create_app(db, tokens=TOKENS)) as service, Visit(browser, service.url) as visit:
        visit.until("#state", "Token needed")
        assert visit.page.locator("main").is_hidden()
        assert visit.page.evaluate("document.activeElement.id") == "token"
        visit.page.keyboard.type("wrong" * 8)
        visit.page.keyboard.press("Enter")
        visit.until("#refused", "not known")
        visit.page.keyboard.type(SECRETS[Scope.WRITE])
        visit.page.keyboard.press("Enter")
        visit.until("#refused", "may not read")
        visit.page.keyboard.type(SECRETS[Scope.READ])
        visit.page.keyboard.press("Enter")
        visit.until("#jobs", "a token that may export")
        visit.page.evaluate("sessionStorage.clear()")
        visit.page.reload()
        visit.until("#state", "Token needed")
        visit.page.keyboard.type(ALL_SCOPES)
        visit.page.keyboard.press("Enter")
        visit.until("#jobs a", "b")
        with visit.page.expect_download() as downloading:
            visit.page.locator("#jobs a").click()
        assert job.path is not None
        assert Path(downloading.value.path()).read_bytes() == job.path.read_bytes()
        assert downloading.value.suggested_filename == f"signals-{job.id}.csv"
        visit.page.reload()
        visit.until("#store", "shop.tidal")  # the tab still has it
        secrets = [ALL_SCOPES, *SECRETS.values()]
        assert not [asked for asked in visit.asked if any(secret in asked for secret in secrets)]
        assert not any("onerror" in complaint for complaint in visit.complaints)


def test_without_tokens_the_link_itself_is_the_file(browser: Any, db: tidal.TidalDb, url: str) -> None:
    job = db.jobs.wait(db.jobs.create("signals", format="jsonl").id, 60)
    with Visit(browser, url) as visit:
        visit.until("#jobs a", "b")
        with visit.page.expect_download() as downloading:
            visit.page.locator("#jobs a").click()
        assert job.path is not None
        assert Path(downloading.value.path()).read_bytes() == job.path.read_bytes()


def test_it_says_when_the_store_is_gone_and_comes_back_with_it(browser: Any, db: tidal.TidalDb) -> None:
    with serving(create_app(db)) as service, Visit(browser, service.url) as visit:
        visit.until("#store", "shop.tidal")
        visit.page.route("**/live.json*", lambda route: route.abort())
        visit.look_now()
        visit.until("#alert", "Not reachable since ")
        assert visit.text("#state") == "Not reachable"
        assert visit.page.locator("main").is_visible(), "what was known is still shown"
        visit.page.unroute("**/live.json*")
        visit.look_now()
        visit.until("#state", "Healthy")
        assert visit.page.locator("#alert").is_hidden()
        db.close()
        visit.look_now()
        visit.until("#alert", "the database is closed")


def test_it_says_why_the_store_is_not_well(
    browser: Any, db: tidal.TidalDb, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db._upkeep, "checkpoint_error", OSError("no luck"))
    with Visit(browser, url) as visit:
        visit.until("#state", "Not well")
        assert "the last checkpoint failed: OSError: no luck" in visit.text("#alert")
        assert visit.page.title().startswith("⚠ ")
        assert "OSError: no luck" in visit.text("#checkpoint .bad")


def test_nothing_is_asked_while_nobody_looks(browser: Any, db: tidal.TidalDb, url: str) -> None:
    with Visit(browser, url) as visit:
        visit.until("#store", "shop.tidal")
        visit.page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        visit.look_now()
        visit.page.wait_for_timeout(100)  # an answer that was under way
        asked = len(visit.asked)
        visit.page.wait_for_timeout(2_500)
        assert len(visit.asked) == asked
        visit.page.evaluate("delete document.hidden")
        visit.look_now()
        db.signal("view", "late")
        visit.until("#facts", "Events recorded20")


def test_only_its_own_script_runs(browser: Any, url: str) -> None:
    with Visit(browser, url) as visit:
        visit.until("#store", "shop.tidal")
        assert visit.page.evaluate(INJECTED) is None
        visit.page.evaluate("fetch('http://localhost:9/').catch(() => {})")
        assert len([text for text in visit.complaints if "Content Security Policy" in text]) >= 2


def test_the_metrics_port_has_the_same_page(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    with tidal.open(tmp_path / "shop.tidal", schema=SCHEMA, metrics="127.0.0.1:0") as db:
        db.signal("like", "b", -2.0)
        with Visit(browser, f"http://{db.metrics_address}/") as visit:
            visit.until("#store", "shop.tidal")
            visit.page.locator("#tab-like").click()
            visit.until("#tops", "-2.00")
            assert visit.complaints == []
            db.close()
            visit.look_now()
            visit.until("#alert", "Not reachable since ")
