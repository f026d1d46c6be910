"""The commands of ``dicom-bq``, a module each: parse, call the library, render."""
