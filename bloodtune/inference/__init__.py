"""A trained model in use: photographs in, classes and the differential count out."""
