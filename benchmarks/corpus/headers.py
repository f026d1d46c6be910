"""What patients, studies, series and images write into a header: functions from a random source to keyword
values.

A mapping of keyword to Python value is the only form; a list of mappings is a sequence. The choice and
number of
elements follows what IODs require or usually carry (PS3.3 section C.7 and A.3 to A.8).
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from benchmarks.corpus.people import Language

Values = dict[str, object]
ROOT = "1.2.826.0.1.3680043.9.7433"


def uid(random: Random) -> str:
    """A UID of a real one's varying length (PS3.5 9)."""
    return f"{ROOT}.{random.randrange(1, 40)}.{random.getrandbits(random.choice((50, 64, 80)))}"


def day(random: Random, first: int = 2004, last: int = 2024) -> str:
    """A DA value."""
    start = date(first, 1, 1)
    return f"{start + timedelta(days=random.randrange((last - first) * 365)):%Y%m%d}"


def clock(random: Random) -> str:
    """A TM value, with or without a fraction, as vendors differ."""
    whole = f"{random.randrange(24):02}{random.randrange(60):02}{random.randrange(60):02}"
    return random.choice((whole, f"{whole}.{random.randrange(1000):03}", f"{whole}.{random.randrange(10**6):06}"))


def decimal(random: Random, low: float, high: float, places: int = 6) -> str:
    """A DS value of at most 16 characters."""
    return f"{random.uniform(low, high):.{places}f}".rstrip("0")[:16]


def code(value: str, scheme: str, meaning: str) -> Values:
    """An item of a code sequence (PS3.3 8.8)."""
    return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}


PLANES = ("AX", "SAG", "COR", "SCOUT", "MPR")
REGIONS = (code("T-D3000", "SRT", "Chest"), code("T-D4000", "SRT", "Abdomen"), code("T-A0100", "SRT",
 "Brain"),
           code("T-D9200", "SRT", "Knee"), code("69536005", "SCT", "Head"))  # fmt: skip
PROCEDURES = (
    code("24725-4", "LN", "CT Head"),
    code("30799-1", "LN", "MR Knee"),
    code("P5-08000", "SRT", "CT scan"),
)
PURPOSES = (
    code("121311", "DCM", "Localizer"),
    code("121322", "DCM", "Source image for image processing operation"),
)
DERIVATIONS = (code("113072", "DCM", "Multiplanar reformatting"), code("113085", "DCM", "Spatial resampling"))
DEIDENTIFICATION = (
    code("113100", "DCM", "Basic Application Confidentiality Profile"),
    code("113101", "DCM", "Clean Pixel Data Option"),
    code("113105", "DCM", "Clean Descriptors Option"),
    code("113107", "DCM", "Retain Longitudinal With Modified Dates Option"),
    code("113108", "DCM", "Retain Patient Characteristics Option"),
    code("113109", "DCM", "Retain Device Identity Option"),
    code("113111", "DCM", "Retain Safe Private Option"),
)


def reference(class_uid: str, instance_uid: str, **more: object) -> Values:
    """An item that refers to an instance (PS3.3 10.8)."""
    return {"ReferencedSOPClassUID": class_uid, "ReferencedSOPInstanceUID": instance_uid, **more}


def patient(random: Random, language: Language) -> Values:
    """The Patient module."""
    return {
        "SpecificCharacterSet": language.character_set.split("\\"),
        "PatientName": language.person(random),
        "PatientID": f"{random.choice(('MRN', 'P', ''))}{random.randrange(10**7):07}",
        "PatientBirthDate": day(random, 1930, 2004),
        "PatientSex": random.choice("MFO"),
    }


def study(random: Random, language: Language) -> Values:
    """The General Study and Patient Study modules."""
    return {
        "StudyInstanceUID": uid(random),
        "StudyDate": day(random),
        "StudyTime": clock(random),
        "AccessionNumber": f"A{random.randrange(10**8)}",
        "StudyID": str(random.randrange(10**5)),
        "StudyDescription": random.choice(language.studies),
        "ReferringPhysicianName": language.person(random),
        "PatientAge": f"{random.randrange(18, 95):03}Y",
        "PatientWeight": str(random.randrange(45, 120)),
        "InstitutionName": random.choice(language.institutions),
        "StationName": f"STATION{random.randrange(20)}",
        "OperatorsName": [language.person(random), language.person(random)][: random.choice((1, 1, 2))],
        "PerformingPhysicianName": language.person(random),
        "FrameOfReferenceUID": uid(random),
    }


def series(random: Random, modality: str) -> Values:
    """The General Series and General Equipment modules."""
    when = day(random)
    return {
        "SeriesInstanceUID": uid(random),
        "SeriesNumber": str(random.randrange(1, 900)),
        "SeriesDate": when,
        "SeriesTime": clock(random),
        "AcquisitionDate": when,
        "ContentDate": when,
        "SeriesDescription": f"{modality} {random.choice(PLANES)} {random.randrange(9)}mm",
        "ProtocolName": f"{random.randrange(1, 20)}.{random.randrange(1, 20)} ROUTINE {modality}",
        "BodyPartExamined": random.choice(("CHEST", "ABDOMEN", "HEAD", "KNEE", "PELVIS")),
        "SoftwareVersions": [
            f"VB{random.randrange(10, 40)}A",
            f"{random.randrange(9)}.{random.randrange(99)}",
        ],
        "DeviceSerialNumber": str(random.randrange(10**5, 10**6)),
        "PerformedProcedureStepStartDate": when,
        "PerformedProcedureStepStartTime": clock(random),
        "PerformedProcedureStepID": f"PPS{random.randrange(10**6)}",
    }


def worklist(random: Random) -> Values:
    """Sequences that a modality copies from its worklist and its procedure step (PS3.3 C.4.10, C.4.13).

    One in four is missing, series by series: modalities differ.
    """
    procedure = random.choice(PROCEDURES)
    values: Values = {
        "ReferencedStudySequence": [reference("1.2.840.10008.3.1.2.3.1", uid(random))],
        "ReferencedPerformedProcedureStepSequence": [reference("1.2.840.10008.3.1.2.3.3", uid(random))],
        "ProcedureCodeSequence": [procedure],
        "PerformedProtocolCodeSequence": [procedure, *random.sample(PROCEDURES, 1)],
        "RequestAttributesSequence": [{
            "RequestedProcedureID": f"RP{random.randrange(10**6)}",
            "RequestedProcedureDescription": procedure["CodeMeaning"],
            "ScheduledProcedureStepID": f"SPS{random.randrange(10**6)}",
            "ScheduledProcedureStepDescription": "ROUTINE",
            "ScheduledProtocolCodeSequence": [procedure],
        }],
        "AnatomicRegionSequence": [random.choice(REGIONS)],
    }  # fmt: skip
    return {keyword: value for keyword, value in values.items() if random.random() < 0.75}


def references(random: Random, class_uid: str, count: int) -> Values:
    """Images that an image refers to, the first with a purpose (PS3.3 C.7.6.1.1.4)."""
    items = [reference(class_uid, uid(random)) for _ in range(count)]
    items[0]["PurposeOfReferenceCodeSequence"] = [PURPOSES[0]]
    return {"ReferencedImageSequence": items}


def plane(random: Random) -> Values:
    """What is the same for all slices of a series in the Image Plane and Image Pixel modules."""
    spacing = decimal(random, 0.3, 1.2)
    return {
        "ImageOrientationPatient": random.choice((["1", "0", "0", "0", "1", "0"], ["1", "0", "0", "0", "0", "-1"])),
        "PixelSpacing": [spacing, spacing],
        "SliceThickness": random.choice(("0.625", "1", "1.25", "2.5", "5")),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 128,
        "Columns": 128,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": random.choice((0, 1)),
    }


def image(random: Random, number: int) -> Values:
    """What differs from image to image in any modality (PS3.3 C.7.6.1)."""
    when = clock(random)
    return {
        "InstanceNumber": str(number),
        "InstanceCreationTime": when,
        "AcquisitionNumber": str(1 + number // 40),
        "AcquisitionTime": when,
        "ContentTime": clock(random),
    }


def slice_of(random: Random, number: int) -> Values:
    """What differs from slice to slice (PS3.3 C.7.6.2), windows and dose included."""
    position = f"{-300 + 2.5 * number:.4f}".rstrip("0").rstrip(".")
    windows = random.choice((1, 2))
    corner = [decimal(random, -250, -100), decimal(random, -250, -100), position]
    return {
        "ImagePositionPatient": corner,
        "SliceLocation": position,
        "WindowCenter": [str(random.randrange(30, 60)), "-600"][:windows],
        "WindowWidth": [str(random.randrange(250, 450)), "1600"][:windows],
        "SmallestImagePixelValue": random.randrange(0, 100),
        "LargestImagePixelValue": random.randrange(900, 4000),
    }


OPTIONAL: Values = {
    "AdmissionID": "ADM-2231",
    "AdditionalPatientHistory": "No prior imaging. Smoker, 20 pack years.",
    "Allergies": "None known",
    "BurnedInAnnotation": "NO",
    "ContrastBolusAgent": "APPLIED",
    "ContrastBolusStartTime": "101502",
    "ContrastBolusVolume": "80",
    "ConvolutionKernel": ["Br40d", "3"],
    "DateOfLastCalibration": ["20200101", "20210101"],
    "DistanceSourceToDetector": "949.075",
    "EthnicGroup": "ND",
    "FocalSpots": ["0.7"],
    "ImageComments": "QC passed",
    "InstitutionAddress": "1 Harbour Road\r\nSpringfield",
    "InstitutionalDepartmentName": "Radiology",
    "IrradiationEventUID": [f"{ROOT}.77.1"],
    "LossyImageCompression": "00",
    "OtherPatientIDsSequence": [{"PatientID": "X-77", "TypeOfPatientID": "TEXT"}],
    "PatientComments": "Interpreter needed",
    "PatientSize": "1.74",
    "PositionReferenceIndicator": "XY",
    "PregnancyStatus": 4,
    "QualityControlImage": "NO",
    "RequestedProcedureDescription": "ROUTINE",
    "RequestingPhysician": "House^Gregory",
    "RescaleType": "HU",
    "SpacingBetweenSlices": "2.5",
    "TimezoneOffsetFromUTC": "+0100",
    "WindowCenterWidthExplanation": ["SOFT", "LUNG"],
    "XRayTubeCurrent": "220",
}
