"""Where prompts and completions are, and what is said of those that are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tidal
from tidal.export.shapes import TrainingRequest
from tidal.export.shapes.texts import TextReader

if TYPE_CHECKING:
    from .conftest import Record, Rows


def test_what_lacks_a_text_is_counted(replies: tidal.TidalDb, tmp_path: Path, record: Record) -> None:
    record(*[("like", item, user, 1.0) for item in range(1, 10) for user in (1, 2)])
    request = tidal.TrainingRequest(shape="kto", pairing="user", all=True)
    replies.flush()
    written = replies.export_training(request).write(tmp_path / "kto.jsonl")
    account = json.loads(written.manifest.read_text())["account"]
    assert written.rows == account["rows"] == 10
    assert (account["without_metadata"], account["without_prompt"], account["without_completion"]) == (
        2,
        1,
        1,
    )
    assert account["examples"] == [6, 7, 8, 9]
    assert (account["entities"], account["scores"], account["without_text"]) == (9, 18, 8)


def test_a_default_prompt_is_for_entities_without_one(rows: Rows, record: Record) -> None:
    record(("like", 1, 1, 1.0), ("like", 7, 1, 1.0), ("like", 8, 1, 1.0))
    found = rows(shape="kto", default_prompt="Go on")
    assert [(row["prompt"], row["completion"]) for row in found] == [("A?", "reply 1"), ("Go on", "reply 7")]


def test_texts_are_where_the_request_says(replies: tidal.TidalDb, rows: Rows, record: Record) -> None:
    replies.items.put(1, {"question": "Q", "answer": "R"})
    record(("like", 1, 1, 1.0))
    (row,) = rows(shape="kto", prompt_field="question", completion_field="answer")
    assert (row["prompt"], row["completion"]) == ("Q", "R")


@pytest.mark.parametrize(
    ("value", "text", "messages"),
    [
        ("Hi", "Hi", [("user", "Hi")]),
        ([{"role": "system", "content": ""}], None, [("system", "")]),
        ("", None, None),
        ([], None, None),
        (3, None, None),
        (["Hi"], None, None),
        ([{"role": "user"}], None, None),
        ([{"role": "user", "content": None}], None, None),
        ([{"role": "user", "content": "Hi", "name": "Ann"}], None, None),
    ],
)
def test_what_is_a_prompt(value: Any, text: Any, messages: Any) -> None:
    for conversational, expected in ((False, text), (True, messages)):
        request = TrainingRequest(shape="prompt_only", conversational=conversational)
        reader = TextReader(request, lambda entity: {"prompt": value})
        assert reader.lacking(1, completion=False) == (None if expected else "prompt")
        if expected:
            assert reader.prompt(1) == expected
