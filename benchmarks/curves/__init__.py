"""Tables of learning curves, and surrogates that answer for configurations in no row."""
