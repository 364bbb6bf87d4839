"""Bloodtune: distributed hyperparameter search for blood-cell classification."""

__version__ = "0.1.0"
