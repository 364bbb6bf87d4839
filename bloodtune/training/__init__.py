"""One configuration trained on one device; no Ray, no Optuna."""
