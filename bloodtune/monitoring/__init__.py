"""How a search is followed: the live screen, TensorBoard, MLflow, Weights & Biases."""
