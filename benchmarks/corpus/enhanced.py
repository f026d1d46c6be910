"""Enhanced CT objects (PS3.3 A.38): one data set of tens of thousands of elements, about 70 a frame."""

from __future__ import annotations

from random import Random

from benchmarks.corpus import headers, people, seeds
from benchmarks.corpus.encoding import Syntax, in_tag_order
from benchmarks.corpus.headers import Values, code, decimal, reference
from benchmarks.corpus.kinds import Instance

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
# Functional groups that are the same in every frame (PS3.3 C.8.15.3), yet written per frame as vendors do.
UNCHANGING: Values = {
    "CTAcquisitionTypeSequence": {"AcquisitionType": "SPIRAL", "TubeAngle": 0.0, "ConstantVolumeFlag": "NO"},
    "CTAcquisitionDetailsSequence": {"RotationDirection": "CW", "RevolutionTime": 0.5, "TableHeight": 110.0},
    "CTTableDynamicsSequence": {"TableSpeed": 38.4, "TableFeedPerRotation": 19.2, "SpiralPitchFactor": 1.0},
    "CTGeometrySequence": {
        "DistanceSourceToDetector": "1085.6",
        "DistanceSourceToDataCollectionCenter": 595.0,
    },
    "CTReconstructionSequence": {"ReconstructionAlgorithm": "FILTER_BACK_PROJ", "ConvolutionKernel": "Br40d"},
    "CTXRayDetailsSequence": {"KVP": "120", "FocalSpots": "0.7", "FilterType": "FLAT"},
    "CTImageFrameTypeSequence": {"FrameType": ["ORIGINAL", "PRIMARY"], "PixelPresentation": "MONOCHROME"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"]},
    "FrameAnatomySequence": {
        "FrameLaterality": "U",
        "AnatomicRegionSequence": [code("T-D3000", "SRT", "Chest")],
    },
}


def enhanced(random: Random, frames: int = 500) -> Instance:
    """One object; all that varies is taken from `random`."""
    language = people.WESTERN
    values = headers.patient(random, language) | headers.study(random, language)
    values |= headers.series(random, "CT") | headers.worklist(random) | headers.plane(random)
    instance_uid = headers.uid(random)
    values |= {
        "Modality": "CT",
        "SOPClassUID": ENHANCED_CT,
        "SOPInstanceUID": instance_uid,
        "NumberOfFrames": str(frames),
        "SharedFunctionalGroupsSequence": [{"PixelMeasuresSequence": [{"PixelSpacing": ["0.5", "0.5"]}]}],
        "PerFrameFunctionalGroupsSequence": [_frame(random, number) for number in range(1, frames + 1)],
    }
    syntax = Syntax(undefined_lengths=random.random() < 0.5)
    elements = in_tag_order(seeds.elements(values, language.character_set))
    return Instance(elements, syntax, ENHANCED_CT, instance_uid, pixels=True, padded=False)


def _frame(random: Random, number: int) -> Values:
    """The functional groups of one frame (PS3.3 C.7.6.16)."""
    groups = {
        "ReferencedImageSequence": _source(random, 0),
        "DerivationImageSequence": {
            "DerivationDescription": "MPR",
            "DerivationCodeSequence": [headers.DERIVATIONS[0]],
            "SourceImageSequence": [_source(random, 1)],
        },
        "CTExposureSequence": {"ExposureTimeInms": 500.0, "XRayTubeCurrentInmA": random.uniform(80, 300)},
        "CTPositionSequence": {
            "TablePosition": 10.0 + number,
            "DataCollectionCenterPatient": [0.0, -20.0, float(number)],
        },
        "IrradiationEventIdentificationSequence": {"IrradiationEventUID": headers.uid(random)},
        "FrameContentSequence": _content(random, number),
        "PlanePositionSequence": {
            "ImagePositionPatient": ["-250", decimal(random, -250, -100), str(2.5 * number)],
        },
    }
    return {keyword: [item] for keyword, item in (UNCHANGING | groups).items()}


def _source(random: Random, purpose: int) -> Values:
    return reference(ENHANCED_CT, headers.uid(random), PurposeOfReferenceCodeSequence=[headers.PURPOSES[purpose]])


def _content(random: Random, number: int) -> Values:
    when = f"20210304{random.randrange(24):02}{random.randrange(60):02}{random.randrange(60):02}.{number:06}"
    return {
        "FrameAcquisitionNumber": number,
        "FrameReferenceDateTime": when,
        "FrameAcquisitionDateTime": when,
        "StackID": "1",
        "InStackPositionNumber": number,
        "DimensionIndexValues": [1, number],
    }
