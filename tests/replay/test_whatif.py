"""what_if(): each variant is what a replay of its own gives; the page says what was found."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from worn import START

import tidal
from tidal.errors import InvalidOption, UnknownMeasure, UnknownSignalType
from tidal.replay import WhatIf

AT = START + 400 * 10**9


def schema(half_life: str) -> tidal.Schema:
    builder = tidal.SchemaBuilder().signal("view", half_life=half_life, windows=("1h",))
    return builder.signal("like", half_life=half_life, signed=True).build()


VARIANTS = {"quick": schema("1m"), "slow <&>": schema("30d")}


@pytest.fixture
def found(store: Path) -> WhatIf:
    return tidal.what_if(store, VARIANTS, k=5)


def test_each_variant_is_a_replay(found: WhatIf, store: Path) -> None:
    for name, given in VARIANTS.items():
        alone = tidal.replay(store, schema=given, signals=["view", "like"])
        assert found.variants[name].ledger.state_digest() == alone.ledger.state_digest()
        assert found.variants[name].events == alone.events == 240
        assert found.top("view", 3)[name] == list(alone.top("view", 3))


def test_agreement(found: WhatIf) -> None:
    assert [(it.signal, it.left, it.right) for it in found.agreements] == [
        ("view", "quick", "slow <&>"), ("like", "quick", "slow <&>"),
    ]  # fmt: skip
    quick, slow = (list(best) for best in found.top("view", 25).values())
    order = {entity: place for place, (entity, _) in enumerate(slow)}
    places = [order[entity] for entity, _ in quick]
    falling = sum(places[i] > places[j] for j in range(25) for i in range(j))
    view = found.agreements[0]
    assert view.entities == 25
    assert view.kendall == pytest.approx(1 - 4 * falling / (25 * 24))
    assert view.overlap[-1] == len({e for e, _ in quick[:5]} & {e for e, _ in slow[:5]}) / 5
    assert -1 <= view.spearman < 1


def test_by_another_measure_and_time(store: Path) -> None:
    found = tidal.what_if(store, VARIANTS, by="count.all", at=AT)
    assert [it.kendall for it in found.agreements] == [pytest.approx(1.0)] * 2
    assert (found.by, found.at) == ("count.all", AT)
    assert all(it.overlap[-1] == 1.0 for it in found.agreements)


def test_the_page(found: WhatIf, tmp_path: Path) -> None:
    page = found.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org)", page) and "<script" not in page
    assert "slow <&>" not in page and html.escape("slow <&>") in page
    for agreement in found.agreements:
        assert f"<td>{agreement.kendall:.3f}</td>" in page
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawings) == 4
    for drawing in drawings:
        numbers = ElementTree.fromstring(drawing).attrib["viewBox"].split()
        width, height = float(numbers[2]), float(numbers[3])
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", drawing):
            assert 0 <= float(x) <= width and 0 <= float(y) <= height
    assert "item" in drawings[1]


@pytest.mark.parametrize(
    ("schemas", "options", "error"),
    [
        ({"one": schema("1d")}, {}, InvalidOption),
        ([], {}, InvalidOption),
        (VARIANTS, {"k": 0}, InvalidOption),
        (VARIANTS, {"by": "count.24h"}, UnknownMeasure),
        ({"a": schema("1d"), "b": tidal.SchemaBuilder().signal("hate").build()}, {}, UnknownSignalType),
        ({"a": schema("1d"), "b": 7}, {}, ValueError),
    ],
)
def test_what_is_refused(
    original: Path, schemas: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        tidal.what_if(original, schemas, **options)
