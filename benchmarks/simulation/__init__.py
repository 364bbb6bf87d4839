"""Simulated searches over tables of learning curves: no Ray, no training."""
