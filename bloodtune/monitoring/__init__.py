"""Monitoring of a search: live screen, TensorBoard, MLflow, Weights & Biases."""
