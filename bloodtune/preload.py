"""What a worker imports as soon as it is up, while the driver still prepares; nobody but Ray imports this."""

from __future__ import annotations

from bloodtune.collector import collector_paused

with collector_paused():
    import torch

    import bloodtune.trainable
    import bloodtune.training  # noqa: F401

# As Ray asks for through the environment when it gives a worker its work, which torch has missed now.
torch.set_num_threads(1)
