"""Training of one configuration on one device; no Ray, no Optuna."""
