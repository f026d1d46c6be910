"""Bytes or pydicom Datasets to an ElementTable."""
