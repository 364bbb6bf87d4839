"""The figures of the classification: training losses, confusion matrices and images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from bloodtune.training.metrics import accuracy
from bloodtune.tuning.retrained_models import Contender, TestedContender
from contender_labels import shared_trainings
from figures.style import (
    BLACK,
    BLUE,
    COLUMN,
    GREY,
    PAGE,
    SMALL,
    TEXT,
    TITLE,
    VERMILLION,
    CaptionedFigure,
    finish,
    grid_shape,
    long_class_names,
    new_figure,
    panel_title,
    percent,
    short_class_names,
    show_image,
)
from scores import predicted_matrix

# One hue from white to dark, whose order survives grey print and every colour blindness.
_SHARES = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", "#9CC9E8", BLUE, "#002B4D"])


def training_loss(title: str, contenders: Sequence[Contender], mark: str) -> CaptionedFigure:
    """Draw training loss against epoch, one panel per contender. Thin lines are seeds, the thick line is their mean."""
    _check_some(contenders, "training_loss")
    rows, columns = grid_shape(len(contenders), 2)
    figure, panels = new_figure(COLUMN, 0.5 + 1.35 * rows, rows, columns, sharex=True, sharey=True)
    for axes, contender in zip(panels, contenders, strict=False):
        _draw_losses(axes, contender)
    panels[0].set_ylim(bottom=0)
    _label_outer(panels, len(contenders), columns, "epoch", "training loss")
    figure.suptitle(title, fontsize=TITLE, weight="bold", parse_math=False)
    seeds = max(len(contender.retrainings) for contender in contenders)
    lines = "one seed" if seeds == 1 else f"{seeds} seeds (thin) and their mean (thick, to the end of the shortest)"
    caption = f"{title}: training loss of {_count(contenders)}, {lines}."
    note = "Circles: the best epoch on validation, whose weights are kept." + shared_trainings(contenders)
    return finish(figure, caption, note, mark)


def confusion_matrices(
    title: str,
    contenders: Sequence[TestedContender],
    labels: np.ndarray,
    class_names: Sequence[str],
    mark: str,
) -> CaptionedFigure:
    """Draw the confusion matrix of each contender's median seed, one panel per contender; labels (N,).

    Cells have the count of test images and the colour of its share of the row.
    """
    _check_some(contenders, "confusion_matrices")
    matrices = [predicted_matrix(labels, tested.median_probabilities) for tested in contenders]
    rows, columns = grid_shape(len(matrices), 2)
    classes = len(class_names)
    panel = max(2.0, 0.35 * classes) if columns > 1 else 0.26 * classes
    width = min(PAGE, max(COLUMN, 1.4 + columns * panel))
    height = 0.75 + (width - 1.4) / columns * rows + 0.25 * (rows - 1)
    figure, panels = new_figure(width, height, rows, columns, square=True, sharex=True, sharey=True)
    for axes, tested, matrix in zip(panels, contenders, matrices, strict=False):
        image = _draw_matrix(axes, matrix, short_class_names(class_names))
        if len(matrices) > 1:
            axes.set_title(panel_title(tested.contender.label, tested.contender.configuration), fontsize=TEXT)
    _label_outer(panels, len(matrices), columns, "predicted", "actual")
    figure.suptitle(title, fontsize=TITLE, weight="bold", parse_math=False)
    _draw_share_bar(figure, panels, image)
    right = ", ".join(percent(float(accuracy(matrix))) for matrix in matrices)
    caption = f"{title}: confusion matrix on the {len(labels):,} test images (counts, rows actual, columns predicted)."
    note = (
        f"The colour (square-root scale) is the share of the row. Accuracy {right}. "
        f"{'Each matrix' if len(matrices) > 1 else 'The matrix'} is of the seed that is median on validation."
        f"{shared_trainings([one.contender for one in contenders])}{long_class_names(class_names)}"
    )
    drawn = finish(figure, caption, note, mark)
    figure.draw_without_rendering()  # computes the layout, and with it the size of the cells
    for axes, matrix in zip(panels, matrices, strict=False):
        _fit_text(axes, matrix)
    return drawn


def first_samples(
    images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], mark: str, count: int = 10, spread: bool = False
) -> CaptionedFigure:
    """Draw the first training images, uint8 (N, H, W[, C]), with their labels (N,) or (N, 1).

    With ``spread``, the images are evenly spaced in the split instead, because photographs are often sorted by class.
    """
    shown, which = _chosen(len(images), count, spread)
    images, labels, count = images[shown], labels[shown], len(shown)
    rows, columns = grid_shape(count, 5)
    names = short_class_names(class_names, 12)
    figure, panels = new_figure(COLUMN, 0.92 * rows + 0.1, rows, columns)
    for axes, image, label in zip(panels, images, labels.reshape(-1), strict=False):
        show_image(axes, image)
        axes.set_title(names[int(label)], fontsize=SMALL, pad=2, parse_math=False)
    _hide_unused(panels, count)
    caption = f"{which.capitalize()} training images with their labels."
    return finish(figure, caption, long_class_names(class_names, 12), mark)


def predictions(
    title: str,
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    class_names: Sequence[str],
    mark: str,
    count: int = 24,
    spread: bool = False,
) -> CaptionedFigure:
    """Draw the first test images, uint8 (N, H, W[, C]), with actual and predicted class, both (N,) or (N, 1).

    Misclassified images have a thick frame and a cross, which can be seen without colour. ``spread`` is as in
    ``first_samples``.
    """
    labels, predicted = labels.reshape(-1), predicted.reshape(-1)
    shown, which = _chosen(len(images), count, spread)
    right, drawn_right, count = (labels == predicted), (labels == predicted)[shown], len(shown)
    rows, columns = grid_shape(count, 6)
    names = short_class_names(class_names, 21, 1)
    figure, panels = new_figure(PAGE, 1.3 * rows + 0.25, rows, columns)
    for axes, image, label, guess in zip(panels, images[shown], labels[shown], predicted[shown], strict=False):
        show_image(axes, image)
        axes.set_xlabel(f"P  {names[int(guess)]}\nA  {names[int(label)]}", fontsize=SMALL, labelpad=3, parse_math=False)
        if label != guess:
            _mark_wrong(axes)
    _hide_unused(panels, count)
    figure.suptitle(f"{title} (P predicted, A actual; thick frame and cross: wrong)", fontsize=TEXT, parse_math=False)
    caption = (
        f"{title}: {which} of {len(labels):,} test images, with predicted (P) and actual (A) class; "
        f"{int(drawn_right.sum())} of these are right, {percent(float(right.mean()))} of all images."
    )
    note = "The model is the seed that is median on validation. Misclassified images have a thick frame and a cross."
    return finish(figure, caption, note + long_class_names(class_names, 21, 1), mark)


def _chosen(total: int, count: int, spread: bool) -> tuple[np.ndarray, str]:
    """Return the rows of the images to draw, ``count`` at most, and words for them."""
    count = min(count, total)
    if spread:
        return np.linspace(0, total - 1, count).round().astype(int), f"{count} evenly spaced"
    return np.arange(count), f"the first {count}"


def _draw_losses(axes: Axes, contender: Contender) -> None:
    curves = [retraining.curve.set_index("epoch").train_loss for retraining in contender.retrainings]
    curves = [curve.where(np.isfinite(curve)) for curve in curves]
    for retraining, curve in zip(contender.retrainings, curves, strict=True):
        marker = "." if len(curve) == 1 else None
        axes.plot(curve.index, curve, color=BLUE, linewidth=0.6, alpha=0.6, marker=marker, gid="seed")
        best = [retraining.best_epoch] if retraining.best_epoch in curve.index else []
        axes.plot(
            best,
            curve.reindex(best),
            "o",
            markersize=3,
            markerfacecolor="white",
            color=BLUE,
            markeredgewidth=0.7,
        )
    if len(curves) > 1:
        common = min(len(curve) for curve in curves)
        mean = np.mean([curve.iloc[:common] for curve in curves], axis=0)
        axes.plot(curves[0].index[:common], mean, color=BLACK, linewidth=1.3, gid="mean", zorder=1.9)
    axes.set_title(panel_title(contender.label, contender.configuration), fontsize=SMALL)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
    axes.grid(alpha=0.25, linewidth=0.4)


def _draw_matrix(axes: Axes, matrix: np.ndarray, names: Sequence[str]) -> AxesImage:
    image = axes.imshow(_row_shares(matrix), cmap=_SHARES, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    ticks = np.arange(len(matrix))
    axes.set_xticks(ticks, names, rotation=90, parse_math=False, linespacing=1.05)
    axes.set_yticks(ticks, names, parse_math=False, linespacing=1.05)
    edges = ticks[:-1] + 0.5
    axes.hlines(edges, -0.5, len(matrix) - 0.5, color="#D9D9D9", linewidth=0.4)
    axes.vlines(edges, -0.5, len(matrix) - 0.5, color="#D9D9D9", linewidth=0.4)
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, linewidth=0.6)
    return image


def _draw_share_bar(figure: Figure, panels: Sequence[Axes], image: AxesImage) -> None:
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1]
    bar = figure.colorbar(image, ax=panels, shrink=0.6, aspect=25, pad=0.02, ticks=ticks)
    bar.ax.yaxis.set_major_formatter(lambda share, _: percent(share, 0))
    bar.ax.tick_params(labelsize=SMALL, width=0.5, length=2)
    bar.set_label("share of the true class", fontsize=TEXT)
    bar.outline.set_linewidth(0.5)


def _fit_text(axes: Axes, matrix: np.ndarray) -> None:
    """Write the counts and set the size of the class names so that both fit the cells."""
    cell = axes.get_window_extent().width / axes.figure.dpi * 72 / len(matrix)  # points
    axes.tick_params(labelsize=min(TEXT, 0.4 * cell))
    size = min(TITLE, 0.85 * cell / (0.64 * len(str(int(matrix.max())))))
    for (row, column), share in np.ndenumerate(_row_shares(matrix)):
        count = int(matrix[row, column])
        colour = "white" if share > 0.38 else BLACK if count else GREY
        text = axes.text(column, row, str(count), ha="center", va="center", fontsize=size, color=colour)
        text.set_in_layout(False)  # text inside a cell needs no space of its own; halves the layout time of four panels


def _row_shares(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))


def _label_outer(panels: Sequence[Axes], used: int, columns: int, x: str, y: str) -> None:
    """Label the first column's y axes and the x axis of each column's last panel; hide unused panels."""
    _hide_unused(panels, used)
    for index, axes in enumerate(panels[:used]):
        first, last = index % columns == 0, index + columns >= used
        axes.set_ylabel(y if first else "", fontsize=TEXT)
        axes.set_xlabel(x if last else "", fontsize=TEXT)
        axes.tick_params(labelleft=first, labelbottom=last)


def _hide_unused(panels: Sequence[Axes], used: int) -> None:
    for axes in panels[used:]:
        axes.set_visible(False)


def _mark_wrong(axes: Axes) -> None:
    axes.spines[:].set(linewidth=2.2, edgecolor=VERMILLION)
    axes.text(
        0.96,
        0.95,
        "✗",
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=TITLE,
        color=VERMILLION,
        gid="wrong",
        bbox={"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": VERMILLION, "linewidth": 0.8},
    )


def _count(contenders: Sequence[Contender]) -> str:
    return "one configuration" if len(contenders) == 1 else f"{len(contenders)} configurations"


def _check_some(contenders: Sequence[object], figure: str) -> None:
    if not contenders:
        raise ValueError(f"{figure}: nothing to draw, at least one contender is needed")
