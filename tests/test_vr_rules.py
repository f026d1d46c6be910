"""The rules as data: complete, in agreement with the standard's tables, refused when they are not usable."""

from __future__ import annotations

import doctest
import json
import pickle
import tomllib
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.valuerep import ALLOW_BACKSLASH, CUSTOMIZABLE_CHARSET_VR, EXPLICIT_VR_LENGTH_32, VR

import vr_rules
from vr_rules import Family, RuleError

RULES = vr_rules.load()
VR_ROWS = tomllib.loads(files(vr_rules).joinpath("vr.toml").read_text(encoding="utf-8"))
NOT_DATA_ROWS = tomllib.loads(files(vr_rules).joinpath("not_data.toml").read_text(encoding="utf-8"))
AMBIGUOUS = {"US or SS", "OB or OW", "US or OW", "US or SS or OW"}
STANDARD = RULES.vr.keys() - AMBIGUOUS


def dump(rows):
    """TOML text of rows; a JSON string, number or boolean is written alike in TOML."""
    return "\n".join(
        f"[{json.dumps(heading)}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items())
        for heading, row in rows.items()
    )


def parse(vr_rows=VR_ROWS, not_data_rows=NOT_DATA_ROWS):
    return vr_rules.parse_rules(dump(vr_rows), dump(not_data_rows))


def changed(heading, without=(), **keys):
    row = {key: value for key, value in {**VR_ROWS[heading], **keys}.items() if key not in without}
    return {**VR_ROWS, heading: row}


def codes(holds, among=STANDARD):
    return {code for code in among if holds(RULES.vr[code])}


class TestRows:
    def test_every_vr_of_pydicom_has_a_row_and_no_other_does(self):
        assert set(RULES.vr) == {member.value for member in VR}

    def test_34_standard_and_4_ambiguous(self):
        assert len(STANDARD) == 34
        assert {code for code in RULES.vr if len(RULES.vr[code].candidates) > 1} == AMBIGUOUS

    @pytest.mark.parametrize(
        ("types", "expected"),
        [
            (("STRING", "string", "VARCHAR"), "AE AS CS DS IS LO LT SH ST UC UI UR UT"),
            (("DATE", "date32", "DATE"), "DA"),
            (("TIME", "time64[us]", "TIME"), "TM"),
            (("TIMESTAMP", "timestamp[us, UTC]", "TIMESTAMP WITH TIME ZONE"), "DT"),
            (("FLOAT", "float64", "DOUBLE"), "FD FL"),
            (("INTEGER", "int64", "BIGINT"), "AT SL SS SV UL US"),
            (("NUMERIC", "decimal128(20, 0)", "DECIMAL(20, 0)"), "UV"),
            (("RECORD", "struct", "STRUCT"), "PN"),
            (("RECORD", "list<struct>", "STRUCT[]"), "SQ"),
            ((None, None, None), "OB OD OF OL OV OW UN"),
        ],
    )
    def test_types(self, types, expected):
        assert codes(lambda rule: (rule.bigquery, rule.arrow, rule.duckdb) == types) == set(expected.split())

    @pytest.mark.parametrize(
        ("trim", "expected"),
        [
            ("both", "AE AS CS DA DS DT IS LO PN SH TM"),
            ("trailing", "LT ST UC UR UT"),
            ("nul", "UI"),
            ("none", "AT FD FL OB OD OF OL OV OW SL SQ SS SV UL UN US UV"),
        ],
    )
    def test_padding(self, trim, expected):
        assert codes(lambda rule: rule.trim == trim) == set(expected.split())

    @pytest.mark.parametrize(
        ("dtype", "expected"),
        [
            (None, "AE AS CS DA DS DT IS LO LT PN SH SQ ST TM UC UI UR UT"),
            ("|u1", "OB UN"),
            ("<u2", "AT OW US"),
            ("<i2", "SS"),
            ("<u4", "OL UL"),
            ("<i4", "SL"),
            ("<u8", "OV UV"),
            ("<i8", "SV"),
            ("<f4", "FL OF"),
            ("<f8", "FD OD"),
        ],
    )
    def test_binary(self, dtype, expected):
        assert codes(lambda rule: rule.binary == dtype) == set(expected.split())

    def test_unit_is_the_size_of_the_dtype_and_two_numbers_for_a_tag(self):
        for code, rule in RULES.vr.items():
            size = np.dtype(rule.binary).itemsize if rule.binary else 0
            assert rule.unit == size * (2 if code == "AT" else 1), code

    def test_long_length_is_ps3_5_7_1_2(self):
        assert codes(lambda rule: rule.long_length) == {str(vr) for vr in EXPLICIT_VR_LENGTH_32}

    def test_character_set_is_ps3_5_6_1_2_3(self):
        assert codes(lambda rule: rule.character_set) == {str(vr) for vr in CUSTOMIZABLE_CHARSET_VR}

    def test_text_that_may_hold_a_backslash_is_not_split(self):
        text = codes(lambda rule: rule.trim != "none")
        # UR: a URI has no backslash (RFC 3986), and PS3.5 6.2 gives it one value.
        assert {code for code in text if not RULES.vr[code].splits} == {"LT", "ST", "UT", "UR"}
        assert {str(vr) for vr in ALLOW_BACKSLASH} & text == {"LT", "ST", "UT"}
        assert not codes(lambda rule: rule.splits) - text

    def test_sections(self):
        elsewhere = {code: rule.section for code, rule in RULES.vr.items() if rule.section != "PS3.5 6.2"}
        assert elsewhere == {
            "PN": "PS3.5 6.2.1",
            "UI": "PS3.5 9.1",
            "UN": "PS3.5 6.2.2",
            "SQ": "PS3.5 7.5",
            **dict.fromkeys(AMBIGUOUS, "PS3.5 A.1"),
        }

    def test_ambiguous_rows(self):
        assert codes(lambda rule: rule.bigquery == "INTEGER", AMBIGUOUS) == {"US or SS"}
        assert codes(lambda rule: rule.family is Family.OPAQUE, AMBIGUOUS) == AMBIGUOUS - {"US or SS"}
        assert RULES.vr["US or SS or OW"].candidates == ("US", "SS", "OW")
        assert {code: RULES.vr[code].binary for code in AMBIGUOUS} == {
            "US or SS": "<u2",
            "OB or OW": "|u1",
            "US or OW": "<u2",
            "US or SS or OW": "<u2",
        }

    def test_rows_are_frozen(self):
        with pytest.raises(TypeError, match="does not support item assignment"):
            RULES.vr["UV"] = RULES.vr["UL"]
        with pytest.raises(AttributeError, match="cannot assign to field 'bigquery'"):
            RULES.vr["UV"].bigquery = "INTEGER"

    def test_load_reads_once(self):
        assert vr_rules.load() is RULES

    def test_docstring_example(self):
        assert doctest.testmod(vr_rules) == (0, 2)

    def test_public_names_are_sorted(self):
        assert vr_rules.__all__ == sorted(vr_rules.__all__)


class TestNotData:
    @pytest.mark.parametrize(
        ("tag", "reason"),
        [
            (0x00000000, "group length"),
            (0x00020000, "group length"),
            (0x00080000, "group length"),
            (0x00090000, "group length"),
            (0x7FE00000, "group length"),
            (0x00020001, "File Meta Information Version"),
            (0xFFFCFFFC, "Data Set Trailing Padding"),
            (0xFFFEE000, "item or delimitation tag"),
            (0xFFFEE00D, "item or delimitation tag"),
            (0xFFFEE0DD, "item or delimitation tag"),
        ],
    )
    def test_encoding(self, tag, reason):
        found = RULES.not_data(tag)
        assert found.startswith(f"{reason}: ")
        assert "(PS3." in found

    @pytest.mark.parametrize(
        "tag",
        [0x00000001, 0x00020002, 0x00020010, 0x00080001, 0x00100010, 0x7FE00010, 0xFFFCFFFB, 0xFFFF0001],
    )
    def test_data(self, tag):
        assert RULES.not_data(tag) is None

    @given(st.integers(0, 0xFFFF))
    def test_every_group_has_a_group_length(self, group):
        assert RULES.not_data(group << 16) is not None

    def test_masks_give_the_same_answer_for_arrays_of_tags(self):
        tags = np.array([0x00080000, 0x00080001, 0x00020001, 0xFFFEE000, 0x00100010], np.uint32)
        encoding = np.zeros(len(tags), bool)
        for rule in RULES.not_data_rules:
            encoding |= tags & np.uint32(rule.mask) == rule.tag
        assert encoding.tolist() == [RULES.not_data(int(tag)) is not None for tag in tags]


WRONG_TYPE = {str: 7, int: "seven", bool: 1}


class TestValidation:
    def test_the_shipped_rows_survive_the_round_trip(self):
        assert parse() == RULES

    @given(st.data())
    def test_a_wrong_type_is_named(self, data):
        heading = data.draw(st.sampled_from(sorted(VR_ROWS)))
        key = data.draw(st.sampled_from(sorted(VR_ROWS[heading])))
        wrong = WRONG_TYPE[type(VR_ROWS[heading][key])]
        with pytest.raises(RuleError, match=r"must be (str|int|bool), is (str|int)") as caught:
            parse(changed(heading, **{key: wrong}))
        assert (caught.value.file, caught.value.row, caught.value.key) == ("vr.toml", heading, key)

    @given(st.data())
    def test_a_key_left_out_is_named_unless_it_is_the_note(self, data):
        heading = data.draw(st.sampled_from(sorted(VR_ROWS)))
        key = data.draw(st.sampled_from(sorted(VR_ROWS[heading].keys() - {"note"})))
        with pytest.raises(RuleError, match=f"^vr.toml \\[{heading}\\]") as caught:
            parse(changed(heading, without=[key]))
        assert caught.value.key == key

    @given(st.data())
    def test_one_flipped_switch_is_noticed_where_the_standard_leaves_no_choice(self, data):
        heading = data.draw(st.sampled_from(sorted(AMBIGUOUS | {"OB", "SQ", "US", "AT", "FD"})))
        key = data.draw(st.sampled_from(["splits", "character_set"]))
        with pytest.raises(RuleError, match="only text") as caught:
            parse(changed(heading, **{key: not VR_ROWS[heading][key]}))
        assert (caught.value.row, caught.value.key) == (heading, key)

    def test_note_may_be_left_out(self):
        assert parse(changed("DA", without=["note"])).vr["DA"].note == ""

    @pytest.mark.parametrize(
        ("heading", "keys", "key", "message"),
        [
            ("US", {"colour": "red"}, "colour", "unknown key; known are arrow, bigquery, binary"),
            ("US", {"code": "US"}, "code", "unknown key"),
            ("US", {"family": "WHOLE"}, "family", "must be one of TEXT, PERSON_NAME"),
            ("US", {"family": "FLOAT"}, "bigquery", "decoder makes FLOAT"),
            ("US", {"bigquery": "FLOAT"}, "bigquery", "decoder makes INTEGER"),
            ("US", {"arrow": "uint16"}, "arrow", "decoder makes int64"),
            ("US", {"duckdb": "USMALLINT"}, "duckdb", "decoder makes BIGINT"),
            ("OB", {"bigquery": "STRING"}, "bigquery", "decoder makes no column"),
            ("UV", {"arrow": "decimal128(38, 0)"}, "arrow", r"decoder makes decimal128\(20, 0\)"),
            ("US", {"binary": ">u2"}, "binary", "no dtype that a VR has"),
            ("US", {"binary": "<u2 "}, "binary", "no dtype that a VR has"),
            ("LO", {"binary": "<u2"}, "binary", "text has none"),
            ("SQ", {"binary": "<u2"}, "binary", "sequences have none"),
            ("US", {"unit": 4}, "unit", "does not match binary"),
            ("AT", {"unit": 2}, "unit", "does not match binary"),
            ("LO", {"unit": 1}, "unit", "does not match binary"),
            ("LO", {"trim": "left"}, "trim", "must be both, trailing, nul or none"),
            ("LO", {"trim": "none"}, "trim", "text is padded, and nothing else is"),
            ("US", {"trim": "both"}, "trim", "text is padded, and nothing else is"),
            ("LO", {"name": ""}, "name", "must not be empty"),
            ("LO", {"section": "6.2"}, "section", "must read like"),
            ("LO", {"section": "PS3.5 6.2, roughly"}, "section", "must read like"),
            ("US or SS", {"long_length": True}, "long_length", "does not match the VRs it names"),
            ("OB or OW", {"long_length": False}, "long_length", "does not match the VRs it names"),
        ],
    )
    def test_a_contradiction_is_named(self, heading, keys, key, message):
        with pytest.raises(RuleError, match=message) as caught:
            parse(changed(heading, **keys))
        assert (caught.value.file, caught.value.row, caught.value.key) == ("vr.toml", heading, key)

    def test_an_ambiguous_vr_is_excluded_if_one_of_its_vrs_is(self):
        integer = {key: VR_ROWS["US or SS"][key] for key in ("family", "bigquery", "arrow", "duckdb")}
        with pytest.raises(RuleError, match="family: does not match the VRs it names"):
            parse(changed("US or OW", **integer))

    def test_an_ambiguous_vr_names_rows(self):
        rows = {**VR_ROWS, "US or QQ": VR_ROWS["US or SS"]}
        with pytest.raises(RuleError, match=r"^vr\.toml \[US or QQ\] code: QQ has no row$"):
            parse(rows)

    @pytest.mark.parametrize("heading", ["us", "USS", "US or", "US or SS "])
    def test_a_heading_is_a_vr(self, heading):
        with pytest.raises(RuleError, match="code: must be two capital letters"):
            parse({**VR_ROWS, heading: VR_ROWS["US"]})

    @pytest.mark.parametrize(
        ("pattern", "row", "message"),
        [
            ("0002001", {}, r"\[0002001\]: must be eight upper-case hexadecimal digits"),
            ("fffexxxx", {}, r"\[fffexxxx\]: must be eight upper-case hexadecimal digits"),
            ("xxxx0000", {"reason": ""}, r"\[xxxx0000\] reason: must not be empty"),
            ("xxxx0000", {"reason": 3}, r"\[xxxx0000\] reason: must be str, is int"),
            ("xxxx0000", {"section": "7.2"}, r"\[xxxx0000\] section: must read like"),
            ("xxxx0000", {"because": "x"}, r"\[xxxx0000\] because: unknown key; known are reason, section"),
        ],
    )
    def test_not_data_rows(self, pattern, row, message):
        full = {"reason": "group length", "section": "PS3.5 7.2", **row}
        with pytest.raises(RuleError, match=r"^not_data\.toml " + message):
            parse(not_data_rows={pattern: full})

    def test_not_data_key_left_out(self):
        with pytest.raises(RuleError, match=r"^not_data\.toml \[xxxx0000\] section: missing key$"):
            parse(not_data_rows={"xxxx0000": {"reason": "group length"}})

    def test_a_key_outside_of_rows(self):
        with pytest.raises(RuleError, match=r"^vr\.toml trim: a key outside of any row$"):
            vr_rules.parse_rules('trim = "both"\n' + dump(VR_ROWS), dump(NOT_DATA_ROWS))

    def test_text_that_is_not_toml(self):
        with pytest.raises(RuleError, match=r"^not_data\.toml: not TOML: Expected"):
            vr_rules.parse_rules(dump(VR_ROWS), "[xxxx0000")

    def test_the_error_survives_a_process_boundary(self):
        error = RuleError("vr.toml", "US", "unit", "does not match binary")
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
        assert str(copy) == str(error) == "vr.toml [US] unit: does not match binary"
        assert copy.key == "unit"
