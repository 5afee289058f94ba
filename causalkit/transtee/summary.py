"""What the summary of fitted networks says, before any format."""

from typing import Any

from causalkit.results.numerals import count
from causalkit.results.render import Page, Part

_SIZES = (
    ("d_model", "Width"),
    ("n_heads", "Heads"),
    ("n_encoder_layers", "Encoder layers"),
    ("n_decoder_layers", "Decoder layers"),
    ("d_ff", "Feed-forward width"),
)
# Diagnostics that other lines say.
_TOLD = ("networks", "d_model", "device", "range of doses")
_MOST = 8


def page(estimator: Any) -> Page:
    """Sizes, training, interval, diagnostics and warnings of a fitted estimator."""
    model, config = estimator.model_, estimator.config_
    actions, found = model.coding.actions, dict(estimator.diagnostics_)
    facts = [
        ("Treatment", f"{', '.join(actions.columns)} ({actions.kind})"),
        ("Outcome", config["outcome"]),
        ("Covariates", count(len(model.coding.covariates.names))),
        ("Networks", count(model.n_members)),
        ("Parameters of each", count(model.n_parameters)),
    ]
    if config["baseline"] is None:
        facts += [(words, str(config[name])) for name, words in _SIZES]
    facts += [
        ("Bottleneck", _bottleneck(model, config)),
        ("Epochs trained", f"{_listed(found.pop('epochs trained'))} of {config['max_epochs']}"),
        ("Best epoch", _listed(found.pop("best epoch"))),
        ("Regularizer", str(config["regularizer"])),
        ("Device", str(config["device"])),
        ("Seed", str(estimator.seed_)),
    ]
    words = estimator._spread().told
    if config["interval"] == "conformal":
        words = f"conformal, for the outcomes of a unit; curves by {words}"
    lines = [f"{name}: {_plain(value)}" for name, value in found.items() if name not in _TOLD]
    ranges = estimator.dose_range_.items()
    lines += [f"doses of {arm}: {low:.4g} to {high:.4g}" for arm, (low, high) in ranges]
    if actions.undosed:
        lines.append(f"without a dose: {', '.join(map(str, actions.undosed))}")
    parts = [Part(heading="Interval", text=words), Part(heading="Diagnostics", lines=tuple(lines))]
    said = tuple(getattr(estimator, "warnings_", ()))
    parts += [Part(heading="Warnings", lines=said)] if said else []
    return Page(f"{type(estimator).__name__}: mean outcome by action", tuple(facts), tuple(parts))


def _bottleneck(model: Any, config: Any) -> str:
    if not config["bottleneck"]:
        return "none"
    columns = model.stacks[0].network.shape.table.n_columns
    return f"{columns} columns become {config['bottleneck']} tokens"


def _listed(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return _joined([f"{name} ({_plain(part)})" for name, part in value.items()])
    if isinstance(value, list):
        return _joined([_plain(part) for part in value])
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _joined(parts: list[str]) -> str:
    more = f", and {len(parts) - _MOST} more" if len(parts) > _MOST else ""
    return (", ".join(parts[:_MOST]) or "none") + more
