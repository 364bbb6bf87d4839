"""What may be tried: hyperparameters, their ranges, and recipes that choose among them."""
