"""TableSchema: names, types, modes and order by the dictionary; merging and comparing as an algebra."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_bq import dictionary
from dicom_bq.errors import SchemaConflictError, SchemaError, SchemaLimitError
from dicom_bq.mapping import OWN_COLUMNS, column_type, describe, format_tag, leaf_column
from dicom_bq.schema import (
    DROPPED_TAGS_KEY,
    OTHER_ELEMENTS_KEY,
    PRIVATE_KEY,
    Column,
    Limits,
    TableSchema,
    TagPath,
    schema_from_keywords,
)


def has_column(tag: int) -> bool:
    try:
        leaf_column(tag)
    except SchemaError:
        return False
    return True


ENTRIES = [entry for entry in map(dictionary.by_keyword, dictionary.keywords()) if entry]
LEAVES = [entry.tag for entry in ENTRIES if has_column(entry.tag)]
SEQUENCES = [entry.tag for entry in ENTRIES if entry.vr == "SQ"]
PRIVATE_SEQUENCES = [PRIVATE_KEY + tag for tag in (0x00091110, 0x2001105F, 0x2005140F, 0x0018FFF0)]

# A few sequences and leaves many times, so that paths share beginnings and schemas share columns.
sequence_keys = st.sampled_from(SEQUENCES[:5] + PRIVATE_SEQUENCES) | st.sampled_from(SEQUENCES)
leaf_keys = st.sampled_from(LEAVES[:30]) | st.sampled_from(LEAVES) | st.just(OTHER_ELEMENTS_KEY)
tag_paths = st.builds(lambda sequences, leaf: (*sequences, leaf), st.lists(sequence_keys, max_size=4), leaf_keys)
path_sets = st.frozensets(tag_paths, max_size=12)
schemas = st.builds(TableSchema.from_paths, path_sets, include_source_store=st.booleans())


def column(schema: TableSchema, path: str) -> Column:
    return {at: found for at, _, found in schema.walk()}[path]


def made(keyword: str, **options: Any) -> Column:
    entry = dictionary.by_keyword(keyword)
    assert entry is not None
    return column(TableSchema.from_paths([(entry.tag,)], **options), keyword)


# ---- one column ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "kind"),
    [
        ("StationAETitle", "STRING NULLABLE"),
        ("PatientAge", "STRING NULLABLE"),
        ("Modality", "STRING NULLABLE"),
        ("ImageType", "STRING REPEATED"),
        ("StudyDate", "DATE NULLABLE"),
        ("DateOfLastCalibration", "DATE REPEATED"),
        ("StudyTime", "TIME NULLABLE"),
        ("AcquisitionDateTime", "TIMESTAMP NULLABLE"),
        ("SliceThickness", "STRING NULLABLE"),
        ("ImagePositionPatient", "STRING REPEATED"),
        ("InstanceNumber", "STRING NULLABLE"),
        ("ExaminedBodyThickness", "FLOAT NULLABLE"),
        ("DiffusionGradientOrientation", "FLOAT REPEATED"),
        ("Rows", "INTEGER NULLABLE"),
        ("AcquisitionMatrix", "INTEGER REPEATED"),
        ("FrameIncrementPointer", "INTEGER REPEATED"),
        ("DimensionIndexPointer", "INTEGER NULLABLE"),
        ("PixelPaddingValue", "INTEGER NULLABLE"),
        ("RedPaletteColorLookupTableDescriptor", "INTEGER REPEATED"),
        ("SelectorSVValue", "INTEGER REPEATED"),
        ("SelectorUVValue", "NUMERIC REPEATED"),
        ("RetrieveURL", "STRING NULLABLE"),
        ("TextValue", "STRING NULLABLE"),
        ("PatientName", "RECORD NULLABLE"),
        ("OperatorsName", "RECORD REPEATED"),
        ("SegmentAlgorithmName", "STRING REPEATED"),
        ("LengthToEnd", "INTEGER NULLABLE"),
        ("TransferSyntaxUID", "STRING NULLABLE"),
    ],
)
def test_type_comes_from_vr_and_mode_from_vm(keyword: str, kind: str) -> None:
    assert made(keyword).kind == kind


def test_numeric_strings_become_numbers_when_asked() -> None:
    assert made("SliceThickness", numeric_strings="typed").kind == "FLOAT NULLABLE"
    assert made("ImagePositionPatient", numeric_strings="typed").kind == "FLOAT REPEATED"
    assert made("InstanceNumber", numeric_strings="typed").kind == "INTEGER NULLABLE"
    assert made("PatientAge", numeric_strings="typed").kind == "STRING NULLABLE"


@pytest.mark.parametrize("keyword", ["PatientName", "OperatorsName"])
def test_person_name_always_has_its_fifteen_leaves(keyword: str) -> None:
    groups = made(keyword).fields
    assert [(group.name, group.kind) for group in groups] == [
        (name, "RECORD NULLABLE") for name in ("Alphabetic", "Ideographic", "Phonetic")
    ]
    for group in groups:
        assert [(part.name, part.kind) for part in group.fields] == [
            (name, "STRING NULLABLE") for name in ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
        ]


@pytest.mark.parametrize(
    ("tag", "keyword", "value"),
    [
        (0x60000010, "OverlayRows", "INTEGER NULLABLE"),
        (0x60020050, "OverlayOrigin", "INTEGER REPEATED"),
        (0x60FE0015, "NumberOfFramesInOverlay", "STRING NULLABLE"),
        (0x50040005, "CurveDimensions", "INTEGER NULLABLE"),
        (0x00203100, "SourceImageIDs", "STRING REPEATED"),
    ],
)
def test_repeating_group_is_one_column_of_id_and_value(tag: int, keyword: str, value: str) -> None:
    found = column(TableSchema.from_paths([(tag,)]), keyword)
    assert found.kind == "RECORD REPEATED"
    assert [(field.name, field.kind) for field in found.fields] == [
        ("Id", "STRING NULLABLE"),
        ("Value", value),
    ]


def test_groups_of_a_repeating_group_share_a_column_at_the_base_tag() -> None:
    schema = TableSchema.from_paths([(0x60020010,), (0x60000010,), (0x60FE0010,)])
    assert [(found.name, found.key) for found in schema.columns[:-1]] == [("OverlayRows", 0x60000010)]


def test_private_sequence_is_named_by_its_tag_and_follows_the_rules_inside() -> None:
    key = PRIVATE_KEY + 0x2005140F
    schema = TableSchema.from_paths([(key, 0x00100010), (key, OTHER_ELEMENTS_KEY), (key, key, 0x00080060)])
    assert [found.name for found in column(schema, "Tag_2005140F").fields] == [
        "PatientName",
        "Tag_2005140F",
        "OtherElements",
    ]
    assert column(schema, "Tag_2005140F").kind == "RECORD REPEATED"
    assert column(schema, "Tag_2005140F.Tag_2005140F.Modality").kind == "STRING NULLABLE"


def test_other_elements_and_dropped_tags_have_the_shape_of_the_export() -> None:
    schema = TableSchema.from_paths([(OTHER_ELEMENTS_KEY,)])
    shapes = [(path, found.kind) for path, _, found in schema.walk()]
    assert shapes == [
        ("OtherElements", "RECORD REPEATED"),
        ("OtherElements.Tag", "STRING NULLABLE"),
        ("OtherElements.Data", "STRING REPEATED"),
        ("DroppedTags", "RECORD REPEATED"),
        ("DroppedTags.TagName", "STRING NULLABLE"),
        ("DroppedTags.TagReference", "STRING NULLABLE"),
    ]


def test_order_is_tags_then_private_sequences_then_own_columns() -> None:
    paths: list[TagPath] = [
        (OTHER_ELEMENTS_KEY,),
        (PRIVATE_KEY + 0x00091110, 0x00080060),
        (0x60000010,),
        (0x00020010,),
        (0x00281054,),
        (PRIVATE_KEY + 0x00091102, 0x00080060),
        (0x00080001,),
    ]
    schema = TableSchema.from_paths(paths, include_source_store=True)
    assert [found.name for found in schema.columns] == [
        "TransferSyntaxUID",
        "LengthToEnd",
        "RescaleType",
        "OverlayRows",
        "Tag_00091102",
        "Tag_00091110",
        "OtherElements",
        "DroppedTags",
        "SourceDicomStore",
    ]


def test_dropped_tags_is_there_even_without_any_data() -> None:
    assert [found.name for found in TableSchema.from_paths([]).columns] == ["DroppedTags"]
    assert [found.name for found in schema_from_keywords([]).columns] == ["DroppedTags"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ((0x7FE00010,), r"\(7FE0,0010\) PixelData has no column: VR OB or OW is excluded"),
        ((0x00081140,), "ReferencedImageSequence has no column: a sequence without what is in it"),
        ((0x00020000,), "FileMetaInformationGroupLength has no column: group length"),
        ((0x00080000,), r"no dictionary entry for tag \(0008,0000\)"),
        ((0x00020001,), "FileMetaInformationVersion has no column"),
        ((0x00091001,), r"no dictionary entry for tag \(0009,1001\)"),
        ((0x00100010, 0x00080060), r"\(0010,0010\) is not a sequence"),
        ((PRIVATE_KEY + 0x00091110,), r"no dictionary entry for tag \(0009,1110\)"),
        ((OTHER_ELEMENTS_KEY, 0x00080060), "is not a sequence"),
        ((0x00081140,) * 300 + (0x00080060,), "301 levels"),
    ],
)
def test_path_without_a_column_is_an_error(path: TagPath, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        TableSchema.from_paths([path])


def test_no_excluded_vr_has_a_column() -> None:
    for entry in ENTRIES:
        assert has_column(entry.tag) <= (column_type(entry.vr) is not None), entry.keyword


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("PatientName", "(0010,0010) Patient's Name, PN, VM 1"),
        ("OverlayOrigin", "(60xx,0050) Overlay Origin, SS, VM 2"),
        ("OverlayOrigin.Value", "(60xx,0050) Overlay Origin, SS, VM 2"),
        ("Tag_2005140F", "(2005,140F) private, SQ"),
        ("LengthToEnd", "(0008,0001) Length to End, UL, VM 1, retired"),
        ("PatientName.Alphabetic", ""),
    ],
)
def test_descriptions_say_tag_name_vr_and_vm(path: str, text: str) -> None:
    keywords = ["PatientName", "OverlayOrigin", "2005140F.Modality", "LengthToEnd"]
    assert column(schema_from_keywords(keywords), path).description == text


def test_every_description_and_name_fits_bigquery() -> None:
    everything = TableSchema.from_paths((tag,) for tag in LEAVES)
    everything.check_limits(Limits(name_characters=300, description_characters=1024))
    assert max(len(describe(entry)) for entry in ENTRIES if entry.vr == "SQ") <= 1024


def test_tags_are_written_as_the_standard_prints_them() -> None:
    assert format_tag(0x00082112) == "(0008,2112)"
    assert format_tag(0x60000010, 0x00FF0000) == "(60xx,0010)"
    assert format_tag(0x002804F2, 0x000000F0) == "(0028,04x2)"


# ---- the set ------------------------------------------------------------------------------------------


@given(path_sets)
def test_order_and_repetition_of_paths_do_not_matter(paths: frozenset[TagPath]) -> None:
    schema = TableSchema.from_paths(sorted(paths))
    shuffled = sorted(paths) * 2
    random.Random(len(paths)).shuffle(shuffled)
    assert TableSchema.from_paths(shuffled).to_json() == schema.to_json()


@given(path_sets)
def test_paths_are_what_the_schema_was_made_of(paths: frozenset[TagPath]) -> None:
    bases = frozenset((*path[:-1], leaf_column(path[-1]).key) for path in paths)
    assert TableSchema.from_paths(paths).paths() == bases
    assert TableSchema.from_paths(paths, include_source_store=True).paths() == bases


@given(schemas)
def test_every_level_is_in_order_and_no_record_is_without_fields(schema: TableSchema) -> None:
    levels = [schema.columns, *(found.fields for _, _, found in schema.walk() if found.fields)]
    for level in levels:
        keys = [found.key for found in level]
        assert keys == sorted(set(keys))
    for _, _, found in schema.walk():
        assert bool(found.fields) == (found.type == "RECORD")
        assert found.mode in {"NULLABLE", "REPEATED"}
    assert DROPPED_TAGS_KEY in [found.key for found in schema.columns[-2:]]


@given(path_sets, path_sets)
def test_merging_schemas_is_the_union_of_their_paths(first: frozenset[TagPath], second: frozenset[TagPath]) -> None:
    merged = TableSchema.from_paths(first).merge(TableSchema.from_paths(second))
    assert merged.to_json() == TableSchema.from_paths(first | second).to_json()


@given(schemas, schemas, schemas)
def test_merge_is_commutative_associative_and_idempotent(a: TableSchema, b: TableSchema, c: TableSchema) -> None:
    assert a.merge(b).to_json() == b.merge(a).to_json()
    assert a.merge(b).merge(c).to_json() == a.merge(b.merge(c)).to_json() == a.merge(b, c).to_json()
    assert a.merge(a).to_json() == a.to_json()


@given(schemas)
def test_the_empty_schema_is_the_identity_of_merge(schema: TableSchema) -> None:
    assert schema.merge(TableSchema()) == TableSchema().merge(schema) == schema.merge() == schema
    assert TableSchema().merge(schema).edition == schema.edition


# Tables of somebody else's making: any names, in any spelling, of few types so that some merge and some not.
foreign_names = st.sampled_from(
    ["id", "ID", "loaded_at", "note", "PatientID", "patientid", "PATIENTID", "StudyDate", "studydate"]
)
foreign_leaves = st.builds(
    lambda name, mode, properties: {"name": name, "type": "STRING", "mode": mode, **properties},
    foreign_names,
    st.sampled_from(["NULLABLE", "REQUIRED"]),
    st.fixed_dictionaries(
        {},
        optional={
            "maxLength": st.sampled_from(["9", "10"]),
            "policyTags": st.sampled_from([{"names": ["a"]}, {"names": ["b"]}]),
            "collation": st.just("und:ci"),
        },
    ),
)
foreign_records = st.builds(
    lambda name, fields: {"name": name, "type": "RECORD", "fields": fields},
    st.sampled_from(["extra", "Extra", "PatientName"]),
    st.lists(foreign_leaves, min_size=1, max_size=3, unique_by=lambda field: field["name"].lower()),
)
tables = st.lists(foreign_leaves | foreign_records, max_size=5, unique_by=lambda field: field["name"].lower()).map(
    TableSchema.from_bigquery
)


@given(tables, tables, tables)
def test_the_laws_of_merge_hold_for_foreign_columns_too(a: TableSchema, b: TableSchema, c: TableSchema) -> None:
    assert a.merge(b).to_json() == b.merge(a).to_json()
    assert a.merge(b).merge(c).to_json() == a.merge(b.merge(c)).to_json()
    assert a.merge(a) == a.merge(TableSchema()) == TableSchema().merge(a) == a


def test_descriptions_are_merged_whatever_the_order() -> None:
    ours = schema_from_keywords(["PatientID"])
    plain = TableSchema.from_bigquery([{"name": "PatientID", "type": "STRING"}])
    assert ours.merge(plain).to_json() == plain.merge(ours).to_json() == ours.to_json()


def test_editions_are_merged_too() -> None:
    editions = [TableSchema((), edition) for edition in ("b", "", "a", "b; c")]
    for order in itertools.permutations(editions):
        assert order[0].merge(*order[1:]).edition == "a; b; c"


def test_conflict_names_the_column_and_both_kinds() -> None:
    ours = schema_from_keywords(["ReferencedImageSequence.StudyDate"])
    theirs = TableSchema.from_bigquery(
        [
            {
                "name": "referencedimagesequence",
                "type": "RECORD",
                "mode": "REPEATED",
                "fields": [{"name": "StudyDate", "type": "STRING"}],
            }
        ]
    )
    message = r"column \w+\.StudyDate is DATE NULLABLE in one schema and STRING NULLABLE in the other\. Types"
    with pytest.raises(SchemaConflictError, match=message) as caught:
        ours.merge(theirs)
    assert caught.value.facts["path"] == "ReferencedImageSequence.StudyDate"


@pytest.mark.parametrize("mode", ["NULLABLE", "REQUIRED"])
def test_repeated_and_not_repeated_do_not_merge(mode: str) -> None:
    theirs = TableSchema.from_bigquery([{"name": "ImageType", "type": "STRING", "mode": mode}])
    with pytest.raises(SchemaConflictError, match=f"ImageType is STRING REPEATED in one schema and STRING {mode}"):
        schema_from_keywords(["ImageType"]).merge(theirs)


def test_text_and_typed_numeric_strings_do_not_merge() -> None:
    typed = TableSchema.from_paths([(0x00180050,)], numeric_strings="typed")
    with pytest.raises(SchemaConflictError, match="SliceThickness is FLOAT NULLABLE"):
        typed.merge(schema_from_keywords(["SliceThickness"]))


def test_required_is_relaxed() -> None:
    fields = [
        {"name": "Tag", "type": "STRING", "mode": "REQUIRED"},
        {"name": "Data", "type": "STRING", "mode": "REPEATED"},
    ]
    theirs = TableSchema.from_bigquery(
        [{"name": "OtherElements", "type": "RECORD", "mode": "REPEATED", "fields": fields}]
    )
    ours = schema_from_keywords(["OtherElements"])
    assert theirs.merge(ours) == ours
    assert [str(change) for change in theirs.diff(ours)] == [
        "mode OtherElements.Tag: STRING REQUIRED -> STRING NULLABLE",
        "added DroppedTags: absent -> RECORD REPEATED, 2 columns in it",
    ]
    assert theirs.conflicts(ours) == ()


def test_spelling_of_an_existing_table_stays() -> None:
    theirs = TableSchema.from_bigquery(
        [
            {"name": "PATIENTID", "type": "STRING"},
            {
                "name": "tag_0009110f",
                "type": "STRUCT",
                "mode": "REPEATED",
                "fields": [{"name": "modality", "type": "STRING"}],
            },
        ]
    )
    ours = schema_from_keywords(["PatientID", "0009110F.Modality", "0009110F.StudyDate"])
    merged = ours.merge(theirs)
    assert [path for path, _, _ in merged.walk()][:4] == [
        "PATIENTID",
        "tag_0009110f",
        "tag_0009110f.StudyDate",
        "tag_0009110f.modality",
    ]
    assert merged.paths() == ours.paths()


# ---- difference ---------------------------------------------------------------------------------------


@given(schemas, schemas)
def test_diff_is_empty_only_between_equals_and_its_mirror_image(a: TableSchema, b: TableSchema) -> None:
    changes = a.diff(b)
    assert (changes == ()) == (a == b)
    mirrored = {"added": "removed", "removed": "added"}
    assert [(mirrored[change.kind], change.path) for change in changes] == [
        (change.kind, change.path) for change in b.diff(a)
    ]
    assert {change.kind for change in a.diff(a.merge(b))} <= {"added"}


def test_diff_says_what_would_change() -> None:
    before = TableSchema.from_bigquery(
        [
            {"name": "StudyDate", "type": "STRING"},
            {"name": "ImageType", "type": "STRING"},
            {"name": "PatientID", "type": "STRING"},
            {"name": "note", "type": "STRING"},
        ]
    )
    after = schema_from_keywords(["StudyDate", "ImageType", "PatientName"])
    assert [str(change) for change in before.diff(after)] == [
        "mode ImageType: STRING NULLABLE -> STRING REPEATED",
        "type StudyDate: STRING NULLABLE -> DATE NULLABLE",
        "added PatientName: absent -> RECORD NULLABLE, 18 columns in it",
        "removed PatientID: STRING NULLABLE -> absent",
        "added DroppedTags: absent -> RECORD REPEATED, 2 columns in it",
        "removed note: STRING NULLABLE -> absent",
    ]
    assert [change.path for change in before.conflicts(after)] == ["ImageType", "StudyDate"]


def test_expected_is_what_the_dictionary_makes_of_the_names() -> None:
    table = TableSchema.from_bigquery(
        [
            {"name": "StudyDate", "type": "STRING"},
            {"name": "SliceThickness", "type": "FLOAT64"},
            {"name": "Tag_00091001", "type": "STRING"},
            {
                "name": "Tag_00091110",
                "type": "RECORD",
                "mode": "REPEATED",
                "fields": [{"name": "Rows", "type": "STRING"}],
            },
            {"name": "PixelData", "type": "BYTES"},
            {"name": "note", "type": "STRING"},
        ]
    )
    assert [change.path for change in table.conflicts(table.expected())] == [
        "StudyDate",
        "SliceThickness",
        "Tag_00091110.Rows",
    ]
    assert [change.path for change in table.conflicts(table.expected("typed"))] == [
        "StudyDate",
        "Tag_00091110.Rows",
    ]


# ---- JSON ---------------------------------------------------------------------------------------------


@given(schemas)
def test_json_round_trip_restores_schema_keys_and_bytes(schema: TableSchema) -> None:
    text = schema.to_json()
    again = TableSchema.from_json(text)
    assert again == schema
    assert again.to_json() == text
    assert again.paths() == schema.paths()
    assert TableSchema.from_bigquery(schema.to_bigquery()) == schema


def test_json_is_what_bq_takes() -> None:
    fields = json.loads(schema_from_keywords(["PatientID", "OverlayRows"]).to_json())
    assert fields[0] == {
        "name": "PatientID",
        "type": "STRING",
        "mode": "NULLABLE",
        "description": "(0010,0020) Patient ID, LO, VM 1",
    }
    assert list(fields[1]) == ["name", "type", "mode", "description", "fields"]
    assert [list(field) for field in fields[1]["fields"]] == [
        ["name", "type", "mode"],
        ["name", "type", "mode", "description"],
    ]


@pytest.mark.parametrize(
    "wrap",
    [lambda fields: fields, lambda fields: {"fields": fields}, lambda fields: {"schema": {"fields": fields}}],
)
def test_reads_what_bq_show_prints(wrap: Any) -> None:
    fields = [
        {"name": "note", "type": "INT64", "mode": None},
        {
            "name": "patientname",
            "type": "struct",
            "fields": [{"name": "ALPHABETIC", "type": "STRUCT", "fields": [{"name": "FamilyName", "type": "string"}]}],
        },
        {"name": "Weight", "type": "FLOAT64", "mode": "repeated", "policyTags": {"names": ["x"]}},
    ]
    schema = TableSchema.from_json(json.dumps(wrap(fields)))
    assert [(path, found.kind) for path, _, found in schema.walk()] == [
        ("patientname", "RECORD NULLABLE"),
        ("patientname.ALPHABETIC", "RECORD NULLABLE"),
        ("patientname.ALPHABETIC.FamilyName", "STRING NULLABLE"),
        ("note", "INTEGER NULLABLE"),
        ("Weight", "FLOAT REPEATED"),
    ]
    assert schema.paths() == {(0x00100010,)}


EVERY_PROPERTY = {
    "policyTags": {"names": ["projects/p/locations/l/taxonomies/t/policyTags/1"]},
    "precision": "10",
    "scale": "2",
    "maxLength": "64",
    "rangeElementType": {"type": "DATE"},
    "collation": "und:ci",
    "defaultValueExpression": "SESSION_USER()",
    "roundingMode": "ROUND_HALF_EVEN",
}
"""Of https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema, besides those of a column."""


def test_what_a_field_says_besides_stays() -> None:
    inner = {"name": "mine", "type": "STRING", "mode": "NULLABLE", "description": "d", **EVERY_PROPERTY}
    fields = [
        {"name": "PatientID", "type": "STRING", "mode": "NULLABLE", **EVERY_PROPERTY},
        {"name": "extra", "type": "RECORD", "mode": "REPEATED", "fields": [inner]},
    ]
    schema = TableSchema.from_bigquery(fields)
    assert schema.to_bigquery() == json.loads(schema.to_json()) == fields
    assert list(json.loads(schema.to_json())[0])[:3] == ["name", "type", "mode"]
    plain = TableSchema.from_bigquery([{"name": "PatientID", "type": "STRING", "policyTags": None}])
    assert plain.to_bigquery() == [{"name": "PatientID", "type": "STRING", "mode": "NULLABLE"}]
    assert schema.merge(plain).to_bigquery() == plain.merge(schema).to_bigquery() == fields
    assert plain == TableSchema(schema.columns[:1])
    assert schema.completed().to_bigquery()[0].items() >= EVERY_PROPERTY.items()


def test_of_two_numbers_a_field_says_the_larger_stays() -> None:
    first, second = (
        TableSchema.from_bigquery([{"name": "a", "type": "STRING", "maxLength": length}]) for length in ("9", "10")
    )
    assert first.merge(second).to_bigquery()[0]["maxLength"] == "10"


def test_foreign_columns_come_last_and_keep_their_order() -> None:
    names = ["zebra", "DroppedTags", "apple", "PatientID", "PixelData", "SourceDicomStore", "OtherElements"]
    schema = TableSchema.from_bigquery([{"name": name, "type": "STRING"} for name in names])
    assert [found.name for found in schema.columns] == [
        "PatientID",
        "OtherElements",
        "DroppedTags",
        "SourceDicomStore",
        "zebra",
        "apple",
        "PixelData",
    ]


def test_dicom_names_inside_a_foreign_record_are_foreign() -> None:
    fields = [{"name": "StudyDate", "type": "STRING"}, {"name": "PatientID", "type": "STRING"}]
    schema = TableSchema.from_bigquery([{"name": "extra", "type": "RECORD", "fields": fields}])
    assert [path for path, _, _ in schema.walk()] == ["extra", "extra.StudyDate", "extra.PatientID"]
    assert schema.paths() == frozenset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"not JSON \(line 1\)"),
        ("[" * 100_000, "not JSON"),
        ("3", "the schema: expected a list"),
        ('{"schema": 3}', "the schema: expected a list"),
        ("[3]", r"\[0\]: expected an object"),
        ('[{"type": "STRING"}]', r"\[0\]: name must be text"),
        ('[{"name": "A", "type": ""}]', r"\[0\]: type must be text"),
        (
            '[{"name": "A", "type": "STRING", "mode": "MAYBE"}]',
            "mode must be one of NULLABLE, REPEATED, REQUIRED",
        ),
        ('[{"name": "A", "type": "STRING", "description": 3}]', "description must be text"),
        (
            '[{"name": "A", "type": "RECORD", "fields": [{"name": 3, "type": "STRING"}]}]',
            r"A\[0\]: name must be text",
        ),
        ('[{"name": "A", "type": "RECORD", "fields": {}}, {"name": "B"}]', "type must be text"),
        ('[{"name": "A", "type": "RECORD"}]', "A: a RECORD has fields"),
        ('[{"name": "A", "type": "STRING", "fields": [{"name": "B", "type": "STRING"}]}]', "A: a RECORD has fields"),
    ],
)
def test_what_is_no_schema_is_an_error_that_says_where(text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        TableSchema.from_json(text)


def test_schema_nested_past_all_sense_is_an_error() -> None:
    fields: list[dict[str, Any]] = [{"name": "A", "type": "STRING"}]
    for _ in range(150):
        fields = [{"name": "A", "type": "RECORD", "fields": fields}]
    with pytest.raises(SchemaError, match="at most 100 levels deep"):
        TableSchema.from_bigquery(fields)


# ---- limits -------------------------------------------------------------------------------------------


def sequence_path(levels: int) -> TagPath:
    return (0x0040A730,) * levels + (0x00080060,)


def test_fifteen_levels_of_record_are_allowed_and_no_more() -> None:
    TableSchema.from_paths([sequence_path(15)]).check_limits()
    with pytest.raises(SchemaLimitError, match=r"levels of RECORD at (ContentSequence\.?){16}: 16, the limit is 15"):
        TableSchema.from_paths([sequence_path(16)]).check_limits()


def test_a_person_name_needs_two_levels_of_its_own() -> None:
    TableSchema.from_paths([(*sequence_path(13)[:-1], 0x00100010)]).check_limits()
    with pytest.raises(SchemaLimitError, match=r"levels of RECORD at .*PatientName\.Alphabetic: 16"):
        TableSchema.from_paths([(*sequence_path(14)[:-1], 0x00100010)]).check_limits()


def test_ten_thousand_columns_count_nested_ones() -> None:
    fields = [{"name": f"c{n}", "type": "STRING"} for n in range(9_998)]
    record = {"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "STRING"}]}
    TableSchema.from_bigquery([*fields, record]).check_limits()
    with pytest.raises(SchemaLimitError, match=r"number of columns at r\.x: 10001, the limit is 10000"):
        TableSchema.from_bigquery([*fields, {"name": "y", "type": "STRING"}, record]).check_limits()


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"name": "n" * 301}, "characters of name at n+: 301, the limit is 300"),
        ({"description": "d" * 1025}, "characters of description at note: 1025, the limit is 1024"),
    ],
)
def test_long_names_and_descriptions(field: dict[str, str], message: str) -> None:
    with pytest.raises(SchemaLimitError, match=message):
        TableSchema.from_bigquery([{"name": "note", "type": "STRING"} | field]).check_limits()
    shorter = {key: text[:-1] for key, text in field.items()}
    TableSchema.from_bigquery([{"name": "note", "type": "STRING"} | shorter]).check_limits()


def test_names_are_unique_ignoring_case_at_each_level() -> None:
    fields = [
        {"name": "a", "type": "STRING"},
        {"name": "B", "type": "RECORD", "fields": [{"name": "a", "type": "STRING"}]},
    ]
    TableSchema.from_bigquery(fields).check_limits()
    with pytest.raises(SchemaLimitError, match="columns of one name, ignoring case at A: 2, the limit is 1"):
        TableSchema.from_bigquery([*fields, {"name": "A", "type": "STRING"}]).check_limits()


# ---- renderings ---------------------------------------------------------------------------------------


def test_text_for_people_is_aligned() -> None:
    text = schema_from_keywords(["StudyDate", "ReferencedImageSequence.ReferencedSOPInstanceUID"]).to_text()
    assert text.splitlines() == [
        "StudyDate                   DATE    NULLABLE  (0008,0020) Study Date, DA, VM 1",
        "ReferencedImageSequence     RECORD  REPEATED  (0008,1140) Referenced Image Sequence, SQ, VM 1",
        "  ReferencedSOPInstanceUID  STRING  NULLABLE  (0008,1155) Referenced SOP Instance UID, UI, VM 1",
        f"DroppedTags                 RECORD  REPEATED  {OWN_COLUMNS[DROPPED_TAGS_KEY].description}",
        "  TagName                   STRING  NULLABLE",
        "  TagReference              STRING  NULLABLE",
    ]
