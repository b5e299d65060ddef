from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import FormatTooNew, InvalidName, InvalidWindow, SchemaError, SchemaMismatch, TooManySignals
from tidal.schema import Schema, SchemaBuilder, SignalType, merge_schemas, schema_from_json, schema_to_json
from tidal.schema.evolution import SCHEMA_BYTES_MAX
from tidal.schema.spec import KINDS, SIGNALS_PER_KIND_MAX
from tidal.testing.strategies import schemas

VIEW = SchemaBuilder().signal("view", half_life="7d", windows=("1h", "24h"), velocity=True).build()


def saved(change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return VIEW's saved form, changed, under a right digest: what a wrong writer would leave."""
    document = json.loads(schema_to_json(VIEW))
    del document["blake3"]
    change(document)
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**document, "blake3": blake3(canonical).hexdigest()}).encode()


class TestJson:
    @given(schemas(max_signals=6))
    def test_round_trip(self, schema: Schema) -> None:
        data = schema_to_json(schema)
        assert schema_from_json(data) == schema
        assert schema_to_json(schema_from_json(data)) == data

    def test_the_saved_form_is_written_down_here(self) -> None:
        """Stores hold these bytes: a change here needs a new format number."""
        assert json.loads(schema_to_json(VIEW)) == {
            "format": 1,
            "blake3": "e89c9265e10fc45d52fac03a4c0f230555f1257aa3be7456bb2998e74559bdee",
            "signals": [
                {
                    "name": "view",
                    "type_id": 0,
                    "kind": "item",
                    "half_lives_ns": [604_800_000_000_000],
                    "windows": ["1h", "24h"],
                    "velocity": True,
                    "signed": False,
                }
            ],
        }

    def test_the_largest_schema_is_far_below_the_size_cap(self) -> None:
        builder = SchemaBuilder()
        for kind in KINDS:
            for number in range(SIGNALS_PER_KIND_MAX):
                builder.signal(
                    f"{kind}_{number}".ljust(64, "x"),
                    kind=kind,
                    half_life=("36525d", "36524d", "36523d"),
                    windows=("1h", "24h", "7d"),
                )
        data = schema_to_json(builder.build())
        assert len(data) * 4 < SCHEMA_BYTES_MAX
        assert schema_from_json(data) == builder.build()

    def test_spaces_do_not_matter(self) -> None:
        assert schema_from_json(json.dumps(json.loads(schema_to_json(VIEW))).encode()) == VIEW

    def test_ids_need_not_be_in_order(self) -> None:
        schema = Schema((SignalType("like", 7), SignalType("view", 3)))
        assert schema_from_json(schema_to_json(schema)) == schema

    def test_every_changed_byte_is_noticed_or_is_a_space(self) -> None:
        data = schema_to_json(VIEW)
        for position in range(len(data)):
            damaged = data[:position] + bytes([data[position] ^ 0x01]) + data[position + 1 :]
            try:
                assert schema_from_json(damaged) == VIEW
            except SchemaError:
                continue
            assert data[position : position + 1].isspace()

    @given(st.binary(max_size=200))
    def test_random_bytes_are_refused(self, data: bytes) -> None:
        with pytest.raises(SchemaError):
            schema_from_json(data)

    @pytest.mark.parametrize(
        "data",
        [b"", b"[]", b"null", b"{}", b"[" * 100_000, b"1" * 10_000, b"\xff", b" " * (SCHEMA_BYTES_MAX + 1)],
        ids=["empty", "array", "null", "object", "deep", "number", "not-utf8", "too-long"],
    )
    def test_other_files_are_refused(self, data: bytes) -> None:
        with pytest.raises(SchemaError, match="saved schema"):
            schema_from_json(data)

    def test_a_later_format_is_refused_by_its_number(self) -> None:
        with pytest.raises(FormatTooNew, match="format 2"):
            schema_from_json(saved(lambda document: document.update(format=2, anything="else")))

    def test_a_damaged_format_number_is_damage(self) -> None:
        with pytest.raises(SchemaError, match="blake3"):
            schema_from_json(schema_to_json(VIEW).replace(b'"format": 1', b'"format": 3'))

    @pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.0])
    def test_a_bad_format_number_is_refused(self, version: object) -> None:
        with pytest.raises(SchemaError, match="format is"):
            schema_from_json(saved(lambda document: document.update(format=version)))

    @pytest.mark.parametrize(
        ("field", "value", "error", "words"),
        [
            ("name", "View", InvalidName, "View"),
            ("name", 7, SchemaError, "name is 7"),
            ("type_id", -1, SchemaError, "0..255"),
            ("type_id", 256, SchemaError, "0..255"),
            ("type_id", True, SchemaError, "type_id is True"),
            ("kind", ["item"], SchemaError, "kind"),
            ("half_lives_ns", [1.5], SchemaError, "not all int"),
            ("half_lives_ns", [0], SchemaError, "between"),
            ("half_lives_ns", 7, SchemaError, "not list"),
            ("windows", ["2h"], InvalidWindow, "2h"),
            ("windows", ["24h", "1h"], InvalidWindow, "shortest first"),
            ("windows", ["1h", "1h"], InvalidWindow, "each once"),
            ("windows", [[]], SchemaError, "not all str"),
            ("velocity", 1, SchemaError, "velocity is 1"),
            ("signed", None, SchemaError, "signed is None"),
            ("colour", "red", SchemaError, "exactly the fields"),
        ],
    )
    def test_a_bad_field_is_refused(
        self, field: str, value: object, error: type[SchemaError], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            schema_from_json(saved(lambda document: document["signals"][0].update({field: value})))

    @pytest.mark.parametrize("signals", [None, {}, [], [7], [{}]])
    def test_a_bad_list_of_signals_is_refused(self, signals: object) -> None:
        with pytest.raises(SchemaError, match="saved schema"):
            schema_from_json(saved(lambda document: document.update(signals=signals)))

    def test_a_missing_or_added_field_is_refused(self) -> None:
        with pytest.raises(SchemaError, match="exactly the fields"):
            schema_from_json(saved(lambda document: document["signals"][0].pop("signed")))
        with pytest.raises(SchemaError, match="expected format and a list"):
            schema_from_json(saved(lambda document: document.update(colour="red")))

    def test_a_repeated_name_or_id_is_refused(self) -> None:
        def repeat(document: dict[str, Any], **changed: object) -> None:
            document["signals"].append({**document["signals"][0], **changed})

        with pytest.raises(SchemaError, match="declared twice"):
            schema_from_json(saved(lambda document: repeat(document, type_id=1)))
        with pytest.raises(SchemaError, match="id 0 is used twice"):
            schema_from_json(saved(lambda document: repeat(document, name="like")))


class TestMerge:
    @given(schemas(max_signals=5))
    def test_the_same_schema_changes_nothing(self, schema: Schema) -> None:
        assert merge_schemas(schema, schema) == schema

    @given(schemas(max_signals=5), st.data())
    def test_the_order_of_declaration_does_not_change_an_id(
        self, schema: Schema, data: st.DataObject
    ) -> None:
        shuffled = data.draw(st.permutations(schema.signals))
        given_schema = Schema(
            tuple(SignalType(**{**fields(s), "type_id": i}) for i, s in enumerate(shuffled))
        )
        assert merge_schemas(schema, given_schema) == schema

    def test_an_added_type_gets_the_next_id_wherever_it_is_declared(self) -> None:
        stored = SchemaBuilder().signal("view").signal("like").build()
        given_schema = SchemaBuilder().signal("share").signal("like").signal("skip").signal("view").build()
        merged = merge_schemas(stored, given_schema)
        assert {signal.name: signal.type_id for signal in merged} == {
            "view": 0,
            "like": 1,
            "share": 2,
            "skip": 3,
        }

    def test_a_gap_below_the_largest_id_is_not_filled(self) -> None:
        stored = Schema((SignalType("view", 5),))
        merged = merge_schemas(stored, SchemaBuilder().signal("like").signal("view").build())
        assert merged.signal("like").type_id == 6

    def test_ids_end_before_that_of_operations(self) -> None:
        stored = Schema((SignalType("view", 254),))
        with pytest.raises(TooManySignals, match="up to 255"):
            merge_schemas(stored, SchemaBuilder().signal("like").signal("view").build())

    def test_a_missing_type_is_named(self) -> None:
        stored = SchemaBuilder().signal("view").signal("like").build()
        with pytest.raises(SchemaMismatch, match="like: saved with the store, not in the given schema"):
            merge_schemas(stored, SchemaBuilder().signal("view").build())

    @pytest.mark.parametrize(
        ("options", "difference"),
        [
            ({"half_life": "1d"}, "view: half_life 7d -> 1d"),
            ({"half_life": ("7d", "1d")}, "view: half_life 7d -> 7d, 1d"),
            ({"half_life": None}, "view: half_life 7d -> none"),
            ({"windows": ("1h",)}, "view: windows 1h, 24h -> 1h"),
            ({"velocity": False}, "view: velocity True -> False"),
            ({"kind": "user"}, "view: kind item -> user"),
            ({"signed": True}, "view: signed False -> True"),
        ],
    )
    def test_a_changed_option_is_named_in_words(self, options: dict[str, Any], difference: str) -> None:
        declared: dict[str, Any] = {"half_life": "7d", "windows": ("1h", "24h"), "velocity": True}
        with pytest.raises(SchemaMismatch) as caught:
            merge_schemas(VIEW, SchemaBuilder().signal("view", **{**declared, **options}).build())
        assert caught.value.differences == (difference,)
        assert difference in str(caught.value)

    def test_every_difference_is_named_at_once(self) -> None:
        stored = SchemaBuilder().signal("view", half_life="7d").signal("like").signal("skip").build()
        given_schema = SchemaBuilder().signal("view", half_life="1d", signed=True).signal("like").build()
        with pytest.raises(SchemaMismatch) as caught:
            merge_schemas(stored, given_schema)
        assert caught.value.differences == (
            "view: half_life 7d -> 1d",
            "view: signed False -> True",
            "skip: saved with the store, not in the given schema",
        )


def fields(signal: SignalType) -> dict[str, Any]:
    return {name: getattr(signal, name) for name in SignalType.__dataclass_fields__}
