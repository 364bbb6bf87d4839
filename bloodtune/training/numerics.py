"""Numerics of training: precision (float32, tf32, bfloat16, float16), layers.

The driver chooses the numerics but never trains, so torch is imported inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloodtune.errors import InputError, unknown_name

if TYPE_CHECKING:
    import torch

AUTO = "auto"
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")

# Seconds of one training step by family, then by variant: a precision, or PLAIN.
StepTimes = Mapping[str, Mapping[str, float]]
PLAIN = "float32, PyTorch's layers"

# Another precision, or PyTorch's own layers, must be faster by this factor: repeated timings differ by up to 5 %.
GAIN = 1.05


@dataclass(frozen=True)
class Numerics:
    """The precision and the layers with which a search trains and validates.

    Args:
        precision: one of ``PRECISIONS``. ``float32`` computes everything in 32 bits. With ``tf32`` a GPU rounds the
            factors of matrix products and convolutions. With ``bfloat16`` and ``float16`` matrix products and
            convolutions run under ``torch.autocast``.
        plain_layers: families that train with PyTorch's own layers, NCHW images and default optimiser, because our
            layers are slower on this machine.
    """

    precision: str = "float32"
    plain_layers: tuple[str, ...] = ()

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Numerics | None:
        """Read numerics from a record that holds ``to_mapping``; None if the record is too old to have a precision."""
        if "precision" not in record:
            return None
        precision, plain = record["precision"], record.get("plain_layers", ())
        if precision not in PRECISIONS:
            raise InputError(unknown_name("precision", str(precision), PRECISIONS))
        if not all(isinstance(family, str) for family in plain):
            raise InputError(f"plain_layers = {plain!r}: expected names of families")
        return cls(precision, tuple(plain))

    def to_mapping(self) -> dict[str, Any]:
        """Return the entries for provenance.json and model.json."""
        return {"precision": self.precision, "plain_layers": list(self.plain_layers)}

    def is_plain(self, family: str) -> bool:
        """Return whether networks of ``family`` use PyTorch's own layers."""
        return family in self.plain_layers

    def usable_on(self, device: str) -> Numerics:
        """Return these numerics, or float32 if ``cpu`` or ``cuda`` has no such precision."""
        return self if self.precision in supported_precisions(device) else FLOAT32

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the inputs of matrix products and convolutions."""
        import torch

        return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(self.precision, torch.float32)

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the autocast context for networks on ``device``; on a GPU this also switches TF32 on or off."""
        import torch

        if device.type == "cuda":
            is_rounded = self.precision == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = is_rounded
        is_mixed = self.dtype is not torch.float32
        return torch.autocast(device.type, self.dtype if is_mixed else torch.bfloat16, enabled=is_mixed)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Return the loss scaler, without which float16 gradients vanish; in other precisions it does nothing."""
        import torch

        return torch.amp.GradScaler(device.type, enabled=self.precision == "float16")


FLOAT32 = Numerics()


def supported_precisions(device: str) -> tuple[str, ...]:
    """Return the precisions in which ``cpu`` or ``cuda`` can train, whether fast or slow.

    A CPU has no tf32, and its float16 convolutions are PyTorch's reference loops, 40 to 300 times slower than float32.
    """
    if device == "cpu":
        return ("float32", "bfloat16")
    import torch

    major, _ = torch.cuda.get_device_capability()
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    known = {"tf32": major >= 8, "bfloat16": has_bfloat16, "float16": major >= 7}
    return ("float32", *(name for name, has in known.items() if has))


def timed_precisions(device: str, asked: str = AUTO) -> list[str]:
    """Return the precisions to time on a device before the choice: float32, and the one ``asked`` for or all."""
    return [name for name in supported_precisions(device) if asked in (AUTO, name) or name == "float32"]


def check_precision(precision: str, device: str) -> None:
    """Check that ``cpu`` or ``cuda`` can train in ``precision``.

    Raises:
        InputError: ``device`` has no such precision.
    """
    allowed = supported_precisions(device)
    if precision not in allowed:
        kind = {"cpu": "a CPU", "cuda": "this GPU"}[device]
        raise InputError(f"precision {precision}: {kind} trains in {' or '.join(allowed)}")


def choose_numerics(hosts: Sequence[StepTimes], weights: Sequence[float], asked: str = AUTO) -> Numerics:
    """Return the numerics under which the hosts together take the most steps per second.

    The choice is float32 unless another precision is faster by ``GAIN`` over all families and makes no family slower
    than PyTorch's own layers in float32. In float32 a family trains with PyTorch's own layers if they are faster than
    ours by ``GAIN``.

    Args:
        hosts: the step times of each host, all of the same families.
        weights: the number of simultaneous trainings on each host.
        asked: the precision to use, or ``auto``.
    """
    families = list(hosts[0])

    def rate(family: str, variant: str) -> float:
        return sum(w / times[family].get(variant, float("inf")) for w, times in zip(weights, hosts, strict=True))

    def seconds(precision: str) -> float:
        rates = [rate(family, precision) for family in families]
        return sum(1 / one for one in rates) if all(rates) else float("inf")

    def is_safe(precision: str) -> bool:
        return all(rate(family, precision) >= rate(family, PLAIN) for family in families)

    precision = asked
    if asked == AUTO:
        variants = {variant for times in hosts for found in times.values() for variant in found}
        faster = [v for v in sorted(variants - {PLAIN}) if seconds(v) * GAIN < seconds("float32") and is_safe(v)]
        precision = min(faster, key=seconds, default="float32")
    if precision != "float32":
        return Numerics(precision)
    return Numerics(precision, tuple(f for f in families if rate(f, PLAIN) > GAIN * rate(f, "float32")))


def describe_times(times: StepTimes) -> str:
    """Return one host's step times in milliseconds, as one line of text."""
    parts = []
    for family, found in times.items():
        shown = [f"{1000 * seconds:.0f} {name}" for name, seconds in found.items() if name != PLAIN]
        parts.append(f"{family} {', '.join(shown)}")
    return f"ms per step: {'; '.join(parts)}"
