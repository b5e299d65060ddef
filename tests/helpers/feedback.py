"""Real human feedback as stores: the votes of Polis, the ranked replies of OpenAssistant."""

from __future__ import annotations

import csv
import functools
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import tidal

Message = dict[str, str]
VOTES: Final = {"1": "agree", "0": "pass", "-1": "disagree"}
OPINIONS: Final = {"agree": 1.0, "pass": 0.0, "disagree": -1.0}  # what a vote is worth
ROLES: Final = {"prompter": "user", "assistant": "assistant"}


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def polis(folder: Path, store: Path, conversations: tuple[str, ...] = ()) -> tidal.TidalDb:
    """Return a new store with the votes on the statements of some conversations, or all.

    A statement is an item, its text the completion; the prompt asks for a statement on the conversation.
    """
    schema = tidal.SchemaBuilder()
    for name in VOTES.values():
        schema.signal(name)
    db = tidal.open(store, schema=schema.build())
    votes = polis_rows(folder / "polis-votes.csv.gz", conversations)
    db.ingest(
        signal=[VOTES[row["vote"]] for row in votes],
        entity_id=[f"{row['conversation']}/{row['comment']}" for row in votes],
        user_id=[f"{row['conversation']}/{row['voter']}" for row in votes],
        timestamp=[int(row["timestamp"]) * 1_000_000 for row in votes],
    )
    db.items.put_many(
        (f"{row['conversation']}/{row['comment']}",
         {"prompt": f"What do people say about {row['conversation']}?", "completion": row["text"]})
        for row in polis_rows(folder / "polis-comments.csv.gz", conversations)
    )  # fmt: skip
    db.flush()
    return db


@functools.cache
def polis_rows(path: Path, conversations: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of some conversations, or of all; read once."""
    return [row for row in read_csv(path) if not conversations or row["conversation"] in conversations]


def oasst_messages(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the messages of OpenAssistant by id, each with its ``text`` and the ``thread`` before it."""
    texts = {row["message_id"]: row["text"] for row in read_csv(folder / "oasst1-en-validation-texts.csv.gz")}
    messages: dict[str, dict[str, Any]] = {}
    for row in read_csv(folder / "oasst1-en-validation.csv.gz"):
        messages[row["message_id"]] = {**row, "text": texts[row["message_id"]]}
    for message in messages.values():
        message["thread"] = thread = []
        above = messages.get(message["parent_id"])
        while above is not None:
            thread.insert(0, {"role": ROLES[above["role"]], "content": above["text"]})
            above = messages.get(above["parent_id"])
    return messages


def oasst(messages: dict[str, dict[str, Any]], store: Path) -> tidal.TidalDb:
    """Return a new store with the replies: ``rank`` (0 for the best, -1 for the next, ...) and reactions."""
    schema = tidal.SchemaBuilder().signal("rank", signed=True).signal("thumbs_up").signal("thumbs_down")
    db = tidal.open(store, schema=schema.build())
    replies = [message for message in messages.values() if message["role"] == "assistant"]
    events = [("rank", each, 0.0 - float(each["rank"])) for each in replies if each["rank"]]
    for name in ("thumbs_up", "thumbs_down"):
        events += [(name, each, float(each[name])) for each in replies if each[name] not in ("", "0")]
    db.ingest(
        signal=[name for name, _, _ in events],
        entity_id=[each["message_id"] for _, each, _ in events],
        weight=[weight for _, _, weight in events],
        session_id=[each["message_tree_id"] for _, each, _ in events],
    )
    db.items.put_many((each["message_id"], _texts(each)) for each in replies)
    db.flush()
    return db


def _texts(reply: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of a reply; one to a message that is not in English has no prompt."""
    above = [] if not reply["thread"] else [("prompt", reply["thread"][-1]["content"])]
    return {"thread": reply["thread"], "completion": reply["text"], **dict(above)}
