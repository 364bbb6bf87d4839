"""A small recipe, changed here and there, for the tests of recipes."""

import copy
from pathlib import Path
from typing import Any

import tomli_w

GONE = object()

# A small recipe with one of everything that a recipe may hold.
CONTENT: dict[str, Any] = {
    "description": "for tests",
    "sampler": {"name": "tpe", "startup_trials": 2},
    "asha": {"max_epochs": 9, "first_rung": 1, "reduction_factor": 3},
    "space": {
        "family": {"choices": ["mlnn", "cnn"], "source": "test"},
        "hidden_layers": {"when": {"family": "mlnn"}, "low": 1, "high": 3, "source": "test"},
        "hidden_size": {"when": {"family": "mlnn"}, "low": 16, "high": 64, "step": 16, "source": "test"},
        "width": {"when": {"family": ["cnn", "lightweight"]}, "choices": [8, 16], "source": "test"},
        "optimizer": {"choices": ["adam", "adamw"], "source": "test"},
        "learning_rate": {"low": 0.0001, "high": 0.1, "log": True, "source": "test"},
        "adamw_decay": {
            "field": "weight_decay",
            "when": {"optimizer": "adamw"},
            "low": 0.0,
            "high": 0.5,
            "source": "test",
        },
    },
    "configuration": [
        {"label": "one", "source": "test", "family": "cnn", "width": 8, "optimizer": "adam", "learning_rate": 0.01},
        {
            "label": "two",
            "source": "test",
            "epochs": 10,
            "family": "mlnn",
            "hidden_layers": 2,
            "hidden_size": 32,
            "optimizer": "adamw",
            "weight_decay": 0.1,
            "learning_rate": 0.001,
        },
    ],
}


def changed(where: str, value: Any) -> dict[str, Any]:
    """Return CONTENT with one place of it, such as ``space.width.low``, replaced, added or taken out."""
    content = copy.deepcopy(CONTENT)
    *path, last = where.split(".")
    table: Any = content
    for key in path:
        table = table[int(key) if isinstance(table, list) else key]
    if value is GONE:
        del table[last]
    else:
        table[last] = value
    return content


def write(file: Path, content: dict[str, Any]) -> Path:
    file.write_text(tomli_w.dumps(content), encoding="utf-8")
    return file
