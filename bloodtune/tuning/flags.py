"""The flags of the search, which read like a manual page."""

from __future__ import annotations

import argparse

from bloodtune import command_line as flags
from bloodtune.monitoring.trackers import TRACKERS
from bloodtune.run.directory import RUNS
from bloodtune.training.numerics import AUTO, PRECISIONS
from bloodtune.tuning.plan import CHECKPOINT_EVERY, EPOCH_LIMIT

DEFAULT_BUDGET = 64
WARM_START = 5
DEFAULT_RECIPE = "search/default.toml"


def search_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m bloodtune.search``."""
    parser = flags.OneLineParser(
        prog="python -m bloodtune.search",
        description="Search for the best blood-cell classifier that a budget can buy: Optuna proposes\n"
        "configurations, Ray Tune schedules them on the CPU cores or GPUs at hand, ASHA stops\n"
        "the weak ones early. Everything found is in a run directory, row by row, from the\n"
        "first epoch on.",
        epilog="examples:\n"
        "  python -m bloodtune.search --budget 64                        the default search\n"
        "  python -m bloodtune.search --recipe mlnn --time-budget 30m    one family, half an hour\n"
        "  python -m bloodtune.search --data my.npz --dry-run            what would be done\n"
        "  python -m bloodtune.search --resume latest                    go on where it stopped\n\n"
        "exit codes:\n"
        "  0    finished, or time budget used up\n"
        "  1    no trial has a score, or the records could not be written\n"
        "  2    input that cannot be used\n"
        "  130  stopped by Ctrl-C",
    )
    what = parser.add_argument_group("what to search").add_argument
    what(
        "--recipe",
        help="a TOML file, or a name in search/: default, published, mlnn, cnn, random, smoke "
        f"(default: {DEFAULT_RECIPE})",
    )
    what("--budget", type=flags.positive, metavar="N", help=f"configurations to try (default: {DEFAULT_BUDGET})")
    what(
        "--data",
        help="an .npz file in MedMNIST's layout, a MedMNIST name such as bloodmnist_64, or synthetic "
        "(default: $BLOODTUNE_DATA, else the official BloodMNIST file; of a resumed run its own)",
    )
    what(
        "--warm-start",
        metavar="NAME",
        help=f"try the best configurations of that run first, {WARM_START} at most, of those in this recipe's space "
        "that got furthest; its data may be other ones",
    )
    what("--max-epochs", type=flags.positive, metavar="N", help="in place of the recipe's")
    what("--time-budget", type=flags.duration, metavar="TIME", help="stop after 90s, 30m or 2h; can be resumed")
    what(
        "--epoch-limit",
        type=flags.duration,
        metavar="TIME",
        default=EPOCH_LIMIT,
        help="fail a trial that takes longer for one epoch (default: 30m)",
    )
    what("--seed", type=flags.seed, metavar="N", help="of all draws (default: 0)")
    where = parser.add_argument_group("where to run").add_argument
    where("--workers", type=flags.positive, metavar="N", help="trials at a time (default: what fits)")
    where(
        "--gpus-per-trial",
        type=flags.share,
        metavar="X",
        help="share of a GPU that a trial gets, such as 0.25 (default: measured where there are GPUs, else 0)",
    )
    where(
        "--precision",
        choices=(AUTO, *PRECISIONS),
        help="in which networks are trained and validated (default: auto, the fastest: measured once per machine)",
    )
    where(
        "--address",
        help="of an existing Ray cluster, or auto; on the head of a `ray up` cluster that one is joined "
        "without asking, elsewhere a Ray of its own is started",
    )
    files = parser.add_argument_group("the run directory").add_argument
    files(
        "--name",
        help="of the run, with -synthetic behind it on the stand-in (default: date, time and data)",
    )
    files("--out", default=RUNS, metavar="DIR", help="where runs are kept (default: %(default)s)")
    files(
        "--storage",
        metavar="URI",
        help="keep a copy of the run there, a minute behind at most: s3://bucket/runs, gs://..., or a folder; "
        "--resume fetches it from there where it is not in --out",
    )
    files(
        "--track",
        action="append",
        default=[],
        choices=sorted(TRACKERS),
        help="follow the search there too; TensorBoard opens the run directory as it is",
    )
    files(
        "--list",
        action="store_true",
        help="list the runs there: state, trials, best score, data, age, size; * is the latest",
    )
    files("--resume", metavar="NAME", help="go on with a run in that folder; a larger --budget extends it")
    files(
        "--checkpoint-every",
        type=flags.duration,
        metavar="TIME",
        default=CHECKPOINT_EVERY,
        help="of a trial, from which it goes on after its worker or the search has died (default: 30s)",
    )
    files("--profile", action="store_true", help="write where the time went (profile.csv), and print it")
    files("--dry-run", action="store_true", help="print the plan and stop")
    return parser
