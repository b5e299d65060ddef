"""Real feedback becomes files that training tools read: Polis votes, OpenAssistant's ranked replies.

What the files must hold is counted from the data itself, without tidal.
"""

from __future__ import annotations

import itertools
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feedback import OPINIONS, oasst, oasst_messages, polis, polis_rows
from readback import READERS, Rows

import tidal
from tidal import TrainingRequest
from tidal.export import Table

CONVERSATIONS = ("15-per-hour-seattle", "london.youth.policing")
FORMATS = {".jsonl": "json", ".parquet": "parquet"}


@pytest.fixture(scope="module")
def votes(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tidal.TidalDb]:
    with polis(data_folder, tmp_path_factory.mktemp("polis") / "store", CONVERSATIONS) as db:
        yield db


@pytest.fixture(scope="module")
def messages(data_folder: Path) -> dict[str, dict[str, Any]]:
    return oasst_messages(data_folder)


@pytest.fixture(scope="module")
def replies(
    messages: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tidal.TidalDb]:
    with oasst(messages, tmp_path_factory.mktemp("oasst") / "store") as db:
        yield db


@pytest.fixture(scope="module")
def opinions(data_folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    """The last vote of each voter on each statement: (conversation, voter) -> statement -> worth."""
    last: dict[tuple[str, str], dict[str, tuple[int, float]]] = defaultdict(dict)
    for row in polis_rows(data_folder / "polis-votes.csv.gz", CONVERSATIONS):
        voter, at, vote = (row["conversation"], row["voter"]), int(row["timestamp"]), float(row["vote"])
        if last[voter].get(row["comment"], (at, 0))[0] <= at:
            last[voter][row["comment"]] = at, vote
    return {voter: {item: vote for item, (_, vote) in of.items()} for voter, of in last.items()}


REQUESTS = {
    "votes-kto": TrainingRequest(shape="kto", pairing="user", rewards=OPINIONS, score="last", ids="key",
                                 all=True),
    "votes-preference": TrainingRequest(shape="preference", pairing="user", rewards=OPINIONS, score="last",
                                        ids="key", pairs_per_prompt=2, all=True),
    "votes-mean": TrainingRequest(shape="preference", rewards=OPINIONS, score="mean", margin=0.5,
                                  pairs_per_prompt=300, all=True),
    "votes-flat": TrainingRequest(shape="flat", rewards=OPINIONS, limit=3_000, all=True),
    "replies-preference": TrainingRequest(shape="preference", rewards={"rank": 1.0}, all=True),
    "replies-conversational": TrainingRequest(shape="preference", conversational=True, prompt_field="thread",
                                              rewards={"rank": 1.0}, all=True),
    "replies-kto": TrainingRequest(shape="kto", conversational=True, prompt_field="thread",
                                   rewards={"thumbs_up": 1.0, "thumbs_down": -1.0}, all=True),
    "replies-prompts": TrainingRequest(shape="prompt_only", all=True),
}  # fmt: skip


@pytest.fixture
def table_of(request: pytest.FixtureRequest) -> Any:
    def make(name: str) -> Table:
        db: tidal.TidalDb = request.getfixturevalue(name.split("-")[0])
        return db.export_training(REQUESTS[name])

    return make


def rows_of(table: Any) -> Rows:
    """The rows, messages as readers have them."""
    nested = [field.name for field in table.fields if field.type == "messages"]
    rows = list(table.rows())
    for row in rows:
        for name in nested:
            row[name] = [{"role": role, "content": content} for role, content in row[name]]
    return rows


# ------------------------------------------------------------------------------------ what is in them


def test_votes_are_labels(table_of: Any, opinions: Any) -> None:
    found = Counter((row["user_id"], row["entity_id"], row["label"]) for row in table_of("votes-kto").rows())
    want = Counter(
        ("/".join(voter), f"{voter[0]}/{item}", vote > 0)
        for voter, of in opinions.items() for item, vote in of.items() if vote
    )  # fmt: skip
    assert found == want
    assert len(want) > 2_500


def test_every_pair_is_of_one_voter_who_meant_it(votes: tidal.TidalDb, opinions: Any) -> None:
    request = TrainingRequest(
        shape="preference", pairing="user", rewards=OPINIONS, score="last", ids="key", all=True
    )
    found = Counter(
        (row["user_id"], row["chosen_id"], row["rejected_id"])
        for row in votes.export_training(request).rows()
    )
    want = Counter(
        ("/".join(voter), f"{voter[0]}/{good}", f"{voter[0]}/{bad}")
        for voter, of in opinions.items()
        for good, bad in itertools.product(of, of) if of[good] > 0 > of[bad]
    )  # fmt: skip
    assert found == want


def test_ranked_replies_are_pairs(table_of: Any, messages: Any) -> None:
    ranked = defaultdict(list)
    for message in messages.values():
        if message["role"] == "assistant" and message["rank"] and message["thread"]:
            ranked[message["parent_id"]].append(message)
    want = Counter(
        (good["thread"][-1]["content"], good["text"], bad["text"], len(good["thread"]))
        for group in ranked.values()
        for good, bad in itertools.permutations(group, 2) if float(good["rank"]) < float(bad["rank"])
    )  # fmt: skip
    assert sum(want.values()) == 1_026  # as the data set's own description counts them
    found = Counter(
        (row["prompt"][-1][1], row["chosen"][0][1], row["rejected"][0][1], len(row["prompt"]))
        for row in table_of("replies-conversational").rows()
    )
    assert found == want


# ------------------------------------------------------------------------------------ who reads them


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The library `datasets`, which neither asks the network nor writes to the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it imports is not ours
            import datasets
        datasets.disable_progress_bars()
        yield datasets


TYPES = {"string": "Value('string')", "bool": "Value('bool')", "float64": "Value('float64')",
         "int64": "Value('int64')",
         "messages": "List({'role': Value('string'), 'content': Value('string')})"}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_all_read_the_same(hugging_face: Any, table_of: Any, name: str, tmp_path: Path) -> None:
    """`datasets` with the right types, and pyarrow, pandas, Polars and DuckDB."""
    want = rows_of(table_of(name))
    assert len(want) > 100
    for suffix, builder in FORMATS.items():
        table = table_of(name)
        path = table.write(tmp_path / f"train{suffix}").path
        for reader, read in READERS.items():
            assert read(path) == want, (reader, suffix)
        loaded = hugging_face.load_dataset(
            builder, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert {column: repr(type) for column, type in loaded.features.items()} == {
            field.name: TYPES[field.type] for field in table.fields
        }
        assert loaded.to_list() == want, suffix


def test_parts_of_an_export_load_as_one(hugging_face: Any, tmp_path: Path) -> None:
    """The first part has no users and sessions, the second has; every row has every key, and no nulls."""
    schema = tidal.SchemaBuilder().signal("like").build()
    with tidal.open(tmp_path / "store", schema=schema) as db:
        for item in (1, 2):
            db.signal("like", item)
        for item in (3, 4):
            db.signal("like", item, user_id=2**64 - 1, session_id=5)
        db.flush()
        for after in (0, 2):
            request = TrainingRequest(after_seq=after, until_seq=after + 2)
            db.export_training(request).write(tmp_path / f"part-{after}.jsonl")
    loaded = hugging_face.load_dataset(
        "json", data_files=str(tmp_path / "part-*.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded["entity_id"] == ["1", "2", "3", "4"]
    assert loaded["user_id"] == ["", "", "18446744073709551615", "18446744073709551615"]
    assert repr(loaded.features["user_id"]) == "Value('string')"
