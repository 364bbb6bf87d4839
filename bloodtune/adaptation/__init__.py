"""Adaptation of a trained model to few labelled photographs of another laboratory; no Ray, no Optuna."""
