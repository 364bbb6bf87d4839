"""The search space: hyperparameters, their ranges, and recipes."""
