"""The search itself: Ray Tune and Optuna; Ray is imported here alone."""
