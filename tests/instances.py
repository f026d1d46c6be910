"""Small DICOM files, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian


def instance(folder: Path, uid: str, **values: Any) -> Path:
    """Write an instance to ``folder/UID.dcm``; values by keyword, a dict or a list of dicts for a sequence."""
    dataset = _dataset({"SOPClassUID": CTImageStorage, "SOPInstanceUID": uid, **values})
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    folder.mkdir(exist_ok=True)
    path = folder / f"{uid}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def _dataset(values: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        is_sequence = isinstance(value, list) and value and isinstance(value[0], dict)
        setattr(dataset, keyword, [_dataset(item) for item in value] if is_sequence else value)
    return dataset
