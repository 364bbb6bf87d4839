"""The command `pretrained`: seeds of one configuration in, the model that comes with Bloodtune out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bloodtune import command_line as flags
from bloodtune.command_line import print_lines
from bloodtune.data.dataset import SYNTHETIC, Dataset, load_dataset, load_test_split
from bloodtune.data.npz import Split
from bloodtune.errors import InputError
from bloodtune.files import check_replaceable, replace_folder
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.default_model import CARD, PRETRAINED
from bloodtune.space.recipe_file import load_recipe
from bloodtune.training.packed_state import unpack
from bloodtune.tuning.precision_choice import HostTimer
from bloodtune.tuning.ray_cluster import connect, resolve_address
from bloodtune.tuning.retraining import retrain
from bloodtune.tuning.retraining_cache import Candidate
from bloodtune.tuning.retraining_workers import Workers
from contender_labels import FOUND
from pretrained_files import pretrained_files
from progress_bar import progress_bar

SEEDS, CACHE = 5, Path("results/pretrained")


def main(argv: Sequence[str] | None = None) -> int:
    """Make the pretrained model; return 0, 1 if a file cannot be written, 2 for unusable input, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    hint = f"finished trainings are kept in {CACHE}: run the same command again to continue"
    return flags.run_action("pretrained", lambda: _make(arguments), hint)


def _make(arguments: argparse.Namespace) -> int:
    if arguments.weights and (arguments.seeds or arguments.epochs):
        raise InputError("--seeds and --epochs need --recipe: networks of --weights are trained already")
    folder, seeds = Path(arguments.out or PRETRAINED), arguments.seeds or SEEDS
    check_replaceable(folder, CARD)
    dataset = load_dataset(arguments.data)
    if dataset.synthetic and not (arguments.data == SYNTHETIC and arguments.out):
        raise InputError(f"the images are synthetic; a model of these needs --data {SYNTHETIC} and --out DIR")
    made_with = f"python analysis/pretrained.py --data {dataset.title}"
    if arguments.weights:
        classifiers = _read_all_weights(arguments.weights, dataset)
        made_with += f" --weights ({'; '.join(map(_describe_training, arguments.weights))})"
    else:
        classifiers = train(arguments.recipe, arguments.epochs, seeds, dataset)
        made_with += f" --recipe {Path(arguments.recipe).stem} --seeds {seeds}"
        made_with += f" --epochs {arguments.epochs}" if arguments.epochs else ""

    def open_test() -> Split:
        return load_test_split(dataset.source, dataset.md5, dataset.preparation)

    replace_folder(folder, pretrained_files(classifiers, dataset, open_test, made_with, print_lines))
    size = sum(file.stat().st_size for file in folder.iterdir())
    print_lines(f"pretrained: {folder} written, {size / 1e6:.2f} MB")
    return 0


def _read_all_weights(files: Sequence[str], dataset: Dataset) -> list[Classifier]:
    classifiers = [read_weights(Path(file), dataset) for file in files]
    for file, one in zip(files, classifiers, strict=True):
        if one.configuration != classifiers[0].configuration:
            raise InputError(f"--weights: {file} has another configuration than {files[0]}; allowed: seeds of one")
    return classifiers


def read_weights(file: Path, dataset: Dataset) -> Classifier:
    """Return the classifier in a file of ``torch.save``: ``config``, the hyperparameters by name, and ``weights``.

    The file may also say in ``trained`` how it was trained; the card quotes that.

    Raises:
        InputError: the file holds no such network, or it does not fit the data.
    """
    try:
        content = unpack(file.read_bytes())
        card = {"configuration": content["config"], "class_names": dataset.class_names}
        size, channels = dataset.train.images.shape[2:]
        return Classifier.build(card | {"size": size, "channels": channels}, content["weights"])
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except Exception as error:  # torch raises many kinds
        raise InputError(f"{file} holds no network for this data: {str(error).splitlines()[0]}") from None


def _describe_training(file: str) -> str:
    # The entry ``trained`` of a file of weights, such as "100 epochs, seed 0", or else its name.
    return str(unpack(Path(file).read_bytes()).get("trained", Path(file).name))


def train(name: str, epochs: int | None, seeds: int, dataset: Dataset) -> list[Classifier]:
    """Train the first enqueued configuration of a recipe with ``seeds`` seeds; finished trainings are kept.

    Raises:
        InputError: the recipe has no configuration, or its training diverged.
    """
    recipe = load_recipe(name)
    if not recipe.enqueued:
        raise InputError(f"recipe {name!r} has no [[configuration]] to train")
    entry = recipe.enqueued[0]
    candidate = Candidate(entry.label, FOUND, entry.configuration, epochs or entry.epochs or recipe.asha.max_epochs)
    with connect(resolve_address(None), workers=None, image_bytes=dataset.bytes_to_copy) as resources:
        gpus, device = (1.0, "cuda") if resources.get("GPU") else (0.0, "cpu")
        numerics = HostTimer(dataset, [candidate.configuration], device=device).result().numerics
        workers = Workers(int(resources.get("GPU") or resources["CPU"]), gpus, numerics)
        with progress_bar("training") as advance:
            found = retrain(
                [candidate], [], lambda _: [], dataset, CACHE, seeds=seeds, workers=workers, advance=advance
            )
    if not found:
        raise InputError(f"{entry.label} diverged in its first epoch")
    return [Classifier.load(one.model) for one in found[0].retrainings]


def _parser() -> argparse.ArgumentParser:
    parser = flags.OneLineParser(
        prog="python analysis/pretrained.py",
        description="Make the model that comes with Bloodtune: train one configuration with several seeds, keep the\n"
        "best on validation, calibrate it there, fit its guard, and score all of them on the test split once.",
    )
    add = parser.add_argument
    add("--data", metavar="PATH", help="data set, as in the search")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--recipe",
        metavar="NAME",
        help="train the first [[configuration]] of this recipe: a TOML file or a recipe's name",
    )
    weights = "networks that are trained already, each a file with config and weights"
    which.add_argument("--weights", nargs="+", metavar="FILE", help=weights)
    add("--seeds", type=flags.positive, metavar="N", help=f"trainings (default: {SEEDS})")
    add("--epochs", type=flags.positive, metavar="N", help="epochs of a training (default: as the recipe says)")
    add("--out", metavar="DIR", help="folder of the model (default: that of the package)")
    return parser


if __name__ == "__main__":
    flags.leave(main())
