"""The kinds of series in the corpus: a real header from pydicom's bundled files each, dressed and made to
vary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from benchmarks.corpus import headers, people, privates, seeds
from benchmarks.corpus.encoding import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Element, Item, Syntax, in_tag_order
from benchmarks.corpus.headers import Values
from benchmarks.corpus.people import Language

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
# Never left out of a file: what identifies it, and what other elements are read by.
ESSENTIAL = frozenset(
    seeds.dictionary(keyword)[0]
    for keyword in ("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID",
     "SeriesInstanceUID",
                    "PatientID", "PatientName", "PixelRepresentation")
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of series.

    Attributes:
        name: Names it in paths and in tables.
        seed: The bundled file it starts from.
        modality: (0008,0060), put over the seed's.
        class_uid: SOP class, or none to keep the seed's.
        syntaxes: Transfer syntaxes it is found in.
        languages: Who wrote it.
        length: Fewest and most images in a series.
        worklist: Whether the worklist sequences are there.
        referenced: How many localizers each image refers to.
        sliced: Whether images are slices with a position.
        pixels: Whether files have Pixel Data.
        extra: More values, the same in every file.
        privates: How many private elements to add to those of the seed.
    """

    name: str
    seed: str
    modality: str
    class_uid: str = ""
    syntaxes: tuple[str, ...] = (EXPLICIT_LITTLE,)
    languages: tuple[Language, ...] = (people.WESTERN, people.ENGLISH)
    length: tuple[int, int] = (25, 80)
    worklist: bool = True
    referenced: int = 1
    sliced: bool = True
    pixels: bool = True
    extra: Values = field(default_factory=dict)
    privates: int = 0


TCIA = {
    "PatientIdentityRemoved": "YES",
    "DeidentificationMethod": "Per DICOM PS 3.15 AnnexE. Details in 0012,0064",
    "DeidentificationMethodCodeSequence": list(headers.DEIDENTIFICATION),
    "LongitudinalTemporalInformationModified": "MODIFIED",
}
CONTOURS: Values = {
    "StructureSetLabel": "PLAN1",
    "StructureSetDate": "20210304",
    "StructureSetTime": "101502",
    "StructureSetROISequence": [
        {"ROINumber": str(n), "ReferencedFrameOfReferenceUID": f"{headers.ROOT}.5", "ROIName": name,
         "ROIGenerationAlgorithm": "MANUAL"}
        for n, name in enumerate(("PTV", "GTV", "Bladder", "Rectum", "Cord"))
    ],
    "ROIContourSequence": [
        {"ReferencedROINumber": str(n), "ROIDisplayColor": ["255", "0", str(40 * n)],
         "ContourSequence": [
             {"ContourGeometricType": "CLOSED_PLANAR", "NumberOfContourPoints": "4", "ContourNumber": str(k),
              "ContourData": [f"{x}.{n}" for x in (10, 20, k, 30, 20, k, 30, 40, k, 10, 40, k)]}
             for k in range(4)
         ]}
        for n in range(5)
    ],
}  # fmt: skip

CT_GE = Kind("ct_ge", "CT_small.dcm", "CT", CT_IMAGE)
CT_TCIA = Kind("ct_tcia", "J2K_pixelrep_mismatch.dcm", "CT", CT_IMAGE, languages=(people.ENGLISH,),
               referenced=0, extra=TCIA, privates=16)  # fmt: skip
CT_IMPLICIT = Kind("ct_implicit", "693_J2KI.dcm", "CT", CT_IMAGE, syntaxes=(IMPLICIT_LITTLE,), referenced=4)
MR_SIEMENS = Kind(
    "mr_siemens", "examples_overlay.dcm", "MR", MR_IMAGE, languages=(people.WESTERN,), referenced=5, privates=30
)
MR_UTF8 = Kind("mr_utf8", "MR_small.dcm", "MR", MR_IMAGE, languages=(people.JAPANESE,), referenced=4)
SR = Kind("sr", "test-SR.dcm", "SR", length=(1, 2), worklist=False, sliced=False, pixels=False)
RT_PLAN = Kind("rtplan", "rtplan.dcm", "RTPLAN", syntaxes=(IMPLICIT_LITTLE, EXPLICIT_LITTLE), length=(1, 1),
               worklist=False, sliced=False, pixels=False)  # fmt: skip
RT_STRUCT = Kind("rtstruct", "rtplan.dcm", "RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3", length=(1, 1),
                 worklist=False, sliced=False, pixels=False, extra=CONTOURS)  # fmt: skip
SEG = Kind("seg", "liver_1frame.dcm", "SEG", length=(1, 1), worklist=False, sliced=False)
NM = Kind("nm", "JPEG2000.dcm", "NM", length=(1, 3), sliced=False)
US = Kind("us", "examples_palette.dcm", "US", length=(5, 20), sliced=False)
CR = Kind("cr", "chrJapMulti.dcm", "CR", languages=(people.JAPANESE_2022,), length=(1, 2),
          sliced=False)  # fmt: skip

# Share of the files of a corpus with the header mix of a general archive.
TYPICAL: Mapping[Kind, float] = {
    CT_GE: 0.20, CT_TCIA: 0.25, CT_IMPLICIT: 0.125, MR_SIEMENS: 0.20, MR_UTF8: 0.125,
    SR: 0.01, RT_PLAN: 0.01, RT_STRUCT: 0.01, SEG: 0.01, NM: 0.01, US: 0.03, CR: 0.02,
}  # fmt: skip
PRIVATE_HEAVY: Mapping[Kind, float] = {
    Kind("ct_private", "CT_small.dcm", "CT", CT_IMAGE, privates=420): 0.5,
    Kind("mr_private", "examples_overlay.dcm", "MR", MR_IMAGE, privates=500): 0.5,
}
MULTI_BYTE: Mapping[Kind, float] = {
    Kind(f"ct_{name}", "693_J2KI.dcm", "CT", CT_IMAGE, languages=(language,), referenced=4): 0.25
    for name, language in {
        "latin1": people.WESTERN,
        "utf8": people.JAPANESE,
        "iso2022": people.JAPANESE_2022,
        "gb18030": people.CHINESE,
    }.items()
}


@dataclass(frozen=True, slots=True)
class Instance:
    """One file to be: its data set, still as elements, and how it will be written."""

    elements: Item
    syntax: Syntax
    class_uid: str
    instance_uid: str
    pixels: bool
    padded: bool


def series_of(kind: Kind, random: Random, files: int) -> Iterator[Instance]:
    """The instances of one series; `random` decides everything that varies."""
    language = random.choice(kind.languages)
    syntax = Syntax(random.choice(kind.syntaxes), undefined_lengths=random.random() < 0.5)
    common = _series_elements(kind, random, language)
    droppable = sorted(common.keys() - ESSENTIAL)
    class_uid = common[0x00080016].value.rstrip(b"\0").decode()  # type: ignore[union-attr]
    padded = kind.pixels and random.random() < 0.05
    for number in range(1, files + 1):
        instance_uid = headers.uid(random)
        elements = common | _image_elements(kind, random, number, instance_uid, language)
        if random.random() < 0.04:
            elements.pop(random.choice(droppable), None)
        yield Instance(in_tag_order(elements), syntax, class_uid, instance_uid, kind.pixels, padded)


def _series_elements(kind: Kind, random: Random, language: Language) -> dict[int, Element]:
    values = headers.patient(random, language) | headers.study(random, language)
    values |= headers.series(random, kind.modality) | kind.extra | {"Modality": kind.modality}
    if kind.class_uid:
        values["SOPClassUID"] = kind.class_uid
    if kind.worklist:
        values |= headers.worklist(random)
    if kind.sliced:
        values |= headers.plane(random)
    values |= {keyword: value for keyword, value in headers.OPTIONAL.items() if random.random() < 0.2}
    seed = {tag: element for tag, element in seeds.read(kind.seed).items() if _kept(tag, random)}
    return seed | privates.block(kind.privates, random) | seeds.elements(values, language.character_set)


def _kept(tag: int, random: Random) -> bool:
    """Leaves out one element of the seed in 25, series by series: devices and options differ."""
    return tag in ESSENTIAL or bool(tag >> 16 & 1 and tag & 0xFFFF < 0x100) or random.random() >= 0.04


def _image_elements(
    kind: Kind, random: Random, number: int, instance_uid: str, language: Language
) -> dict[int, Element]:
    values: Values = {"SOPInstanceUID": instance_uid} | headers.image(random, number)
    if kind.sliced:
        values |= headers.slice_of(random, number)
    if kind.referenced:
        values |= headers.references(random, kind.class_uid or CT_IMAGE, kind.referenced)
    if random.random() < 0.03:
        values["ImageComments"] = random.choice(language.comments)
    return seeds.elements(values, language.character_set)
