"""`tidal get`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tidal

Command = Callable[..., Any]


def test_every_measure_of_an_entity(shop: Path, tidal_command: Command) -> None:
    answer = tidal_command("get", "lamp", "--db", shop, "--format", "json")
    measures = answer.json["measures"]
    with tidal.open(shop, read_only=True, clock="event") as db:
        assert measures == {
            "purchase.score": db.score("purchase", "lamp"),
            "purchase.score.1d": db.score("purchase", "lamp", half_life="1d"),
            "purchase.count.1h": 1,
            "purchase.count.24h": 2,
            "purchase.count.all": 3,
            "purchase.velocity.1h": 1 / 3600,
            "purchase.velocity.24h": 2 / 86400,
        }
    assert (answer.json["key"], answer.json["at"]) == ("lamp", "2011-12-02T11:00:00.000000000Z")


def test_text_has_names_units_and_metadata(shop: Path, tidal_command: Command) -> None:
    with tidal.open(shop) as db:
        db.items.put("lamp", {"title": "A lamp"})
    answer = tidal_command("get", "lamp", "--db", shop)
    assert answer.code == 0
    assert "  title: A lamp\n" in answer.out
    assert "half-life 7d" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_a_number_is_a_key_first_and_an_id_else(shop: Path, tidal_command: Command) -> None:
    with tidal.open(shop) as db:
        db.signal("purchase", "71053")
        db.signal("purchase", 42)
    assert tidal_command("get", "71053", "--db", shop, "--format", "json").json["key"] == "71053"
    answer = tidal_command("get", "42", "--db", shop, "--format", "json").json
    assert (answer["id"], answer["key"]) == (42, None)
    by_id = tidal_command(
        "get", tidal_command("get", "lamp", "--db", shop, "--format", "json").json["id"], "--db", shop
    )
    assert by_id.out.startswith("item lamp (id ")


def test_what_is_not_there(shop: Path, tidal_command: Command) -> None:
    for entity in ("shoe", "7", "١", "x" * 5000):
        answer = tidal_command("get", entity, "--db", shop)
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.startswith("tidal get: no item ")
    assert tidal_command("get", "lamp", "--db", shop, "--kind", "user").code == 3
