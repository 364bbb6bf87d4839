# %% [markdown]
# # From data to a count, in Python
#
# Run it as a script, or cell by cell in an editor that knows `# %%` (VS Code, Spyder, Jupyter with jupytext). It uses
# `$BLOODTUNE_DATA`, else the official BloodMNIST file, else the synthetic stand-in; a few minutes on two cores.

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
# Every argument is a flag of the command line. Ctrl-C stops and keeps everything, and
# `run_search(resume=run.name)` goes on.

# %%
run = run_search(recipe="smoke", budget=4)
best = run.best()
print(best)

# %% [markdown]
# ## Look
# A run directory is read with pandas: one row per trial and one row per epoch.

# %%
run = load_run("latest")
curves = run.curves().pivot(index="epoch", columns="trial", values="val_macro_f1")
print(curves.round(3))
curves.plot(xlabel="epoch", ylabel="validation macro-F1").figure.savefig("curves.png")

# %% [markdown]
# ## Summarize
# Retrains the best, freezes every choice, opens the test split once, writes `results/latest`. A quick look: without
# `--quick --epochs 1` it is the paper.

# %%
summarize = Path(bloodtune.__file__).parents[1] / "analysis" / "summarize.py"
subprocess.run([sys.executable, summarize, run.path, "--quick", "--epochs", "1"], check=True)

# %% [markdown]
# ## Classify
# Photographs, folders or `.npz` files. Here: a few validation images, saved as files.

# %%
cells = Path("cells")
cells.mkdir(exist_ok=True)
for row, tile in enumerate(load_dataset().val.images[:12]):
    Image.fromarray(tile.squeeze()).save(cells / f"{row:02}.png")

for one in classify(cells):
    if isinstance(one, Unreadable):
        print(one.source, one.reason)
    else:
        print(one.source, one.label, f"{one.probability:.3f}", "" if one.sure else "(not sure)")
