"""Adaptation of a trained model to the photographs of another laboratory; no Ray, no Optuna."""
