"""Inference: photographs in, classes and the differential count out."""
