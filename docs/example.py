# %% [markdown]
# # From data to a count, in Python
#
# Run it as a script, or cell by cell in an editor that supports `# %%` (VS Code, Spyder, Jupyter with jupytext). The
# data is `$BLOODTUNE_DATA`, else the official BloodMNIST file, else synthetic images. A few minutes on two cores.

# %%
import subprocess
import sys
from pathlib import Path

from PIL import Image

import bloodtune
from bloodtune import Unreadable, classify, load_run, run_search
from bloodtune.data.dataset import load_dataset

# %% [markdown]
# ## Search
# Every argument is also a flag of the command line. Ctrl-C stops the search and keeps all results;
# `run_search(resume=run.name)` resumes it.

# %%
run = run_search(recipe="smoke", budget=4)
best = run.best()
print(best)

# %% [markdown]
# ## Plot the learning curves
# `run.curves()` is a pandas table with one row per epoch; `run.trials()` lists the finished trials.

# %%
run = load_run("latest")
curves = run.curves().pivot(index="epoch", columns="trial", values="val_macro_f1")
print(curves.round(3))
curves.plot(xlabel="epoch", ylabel="validation macro-F1").figure.savefig("curves.png")

# %% [markdown]
# ## Summarize
# Retrains the best models, freezes every choice, opens the test split once and writes `results/latest`. `--quick
# --epochs 1` gives a rough report; without these flags, it is the full paper.

# %%
summarize = Path(bloodtune.__file__).parents[1] / "analysis" / "summarize.py"
subprocess.run([sys.executable, summarize, run.path, "--quick", "--epochs", "1"], check=True)

# %% [markdown]
# ## Classify
# `classify` takes photographs, folders or `.npz` files. This example saves a few validation images as files.

# %%
cells = Path("cells")
cells.mkdir(exist_ok=True)
for row, tile in enumerate(load_dataset().val.images[:12]):
    Image.fromarray(tile.squeeze()).save(cells / f"{row:02}.png")

for cell in classify(cells):
    if isinstance(cell, Unreadable):
        print(cell.source, cell.reason)
    else:
        print(cell.source, cell.label, f"{cell.probability:.3f}", "" if cell.sure else "(not sure)")
