"""Posterior of the mixture: types, effects and CATE at new features, one joint draw at a time."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, log_softmax

from causalkit.images.model import TAIL_FLOOR, Mixture
from causalkit.typing import Floats

_CELLS = 20_000_000  # numbers per block of rows


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Draws of θ and what turns features and outcomes into the model's units.

    Attributes
    ----------
    model : Mixture
    draws : (S, P) array
        Of θ on standardised features. One draw where inference is the mode.
    mean, sd : (d,) arrays
        Of the features of the training rows.
    centre, scale : float
        Of the outcome of the training rows.
    """

    model: Mixture
    draws: Floats
    mean: Floats
    sd: Floats
    centre: float
    scale: float

    @property
    def n_draws(self) -> int:
        """S."""
        return int(self.draws.shape[0])

    def features(self, raw: Floats) -> Floats:
        """Standardised features ``(m, d)``."""
        return np.asarray((raw - self.mean) / self.sd)

    def types(self, raw: Floats) -> Floats:
        """π of every draw, ``(S, m, K)``."""
        parts = self._parts()
        logits = np.einsum("md,sdk->smk", self.features(raw), parts["type_weight"])
        logits = logits + parts["type_bias"][:, None, :]
        first = np.zeros((*logits.shape[:2], 1))
        return np.asarray(np.exp(log_softmax(np.concatenate([first, logits], axis=2), axis=2)))

    def effects(self) -> Floats:
        """τ of every draw and type in units of the outcome, ``(S, K)``; logits if Bernoulli."""
        parts = self._parts()
        first = parts["first_effect"]
        above = np.cumsum(np.logaddexp(0.0, parts["gap"]), axis=1)
        found = np.concatenate([first, first + above], axis=1)
        return found if self.model.likelihood == "bernoulli" else found * self.scale

    def noise(self) -> Floats:
        """Standard deviation of the noise, ``(S, 1 + K)``: controls, then the treated by type.

        In units of the outcome; that of a Student-t is its scale times √(ν/(ν − 2)).
        """
        parts = self._parts()
        log_scale = parts["log_noise"][:, [0] + [1] * self.model.n_types]
        if self.model.cluster_sigma:
            log_scale[:, 1:] += parts["type_noise"]
        found = np.exp(log_scale) * self.scale
        if self.model.likelihood == "student_t":
            above = np.exp(parts["tail"])
            found = found * np.sqrt((TAIL_FLOOR + above) / above)
        return np.asarray(found)

    def baseline(self, raw: Floats, covariates: Floats) -> Floats:
        """μ₀ of every draw and row in units of the outcome, ``(S, n)``; logits if Bernoulli."""
        parts = self._parts()
        found = parts["base_weight"] @ np.hstack([self.features(raw), covariates]).T
        found = found + parts["base_bias"]
        if self.model.likelihood == "bernoulli":
            return np.asarray(found)
        return np.asarray(self.centre + self.scale * found)

    def by_type(self, raw: Floats, covariates: Floats) -> Floats:
        """Effect of every type at every row, ``(S, n, K)``: risk differences if Bernoulli."""
        tau = self.effects()[:, None, :]
        if self.model.likelihood != "bernoulli":
            return np.broadcast_to(tau, (self.n_draws, raw.shape[0], self.model.n_types))
        base = self.baseline(raw, covariates)[:, :, None]
        return np.asarray(expit(base + tau) - expit(base))

    def mean_by_type(self, raw: Floats, covariates: Floats) -> Floats:
        """Effect of every type in every draw, ``(S, K)``, over rows by their probability of it.

        τ itself, but for risk differences, which hang on the baseline of the row.
        """
        if self.model.likelihood != "bernoulli":
            return self.effects()
        share, total = np.zeros((2, self.n_draws, self.model.n_types))
        for rows in self._blocks(raw.shape[0]):
            types = self.types(raw[rows])
            share += types.sum(axis=1)
            total += (types * self.by_type(raw[rows], covariates[rows])).sum(axis=1)
        return np.asarray(total / np.maximum(share, np.finfo(np.float64).tiny))

    def cate(self, types: Floats, raw: Floats, covariates: Floats) -> Floats:
        """Σ_k π_k τ_k with π and τ of the same draw, ``(S, n)``, given π at these rows."""
        return np.asarray((types * self.by_type(raw, covariates)).sum(axis=2))

    def mean_types(self, raw: Floats) -> Floats:
        """Mean over draws of π, ``(m, K)``."""
        parts = [self.types(raw[rows]).mean(axis=0) for rows in self._blocks(raw.shape[0])]
        return np.concatenate(parts)

    def control_mean(self, raw: Floats, covariates: Floats) -> Floats:
        """Posterior mean of E[Y | T = 0] at every row, ``(n,)``."""
        likely = self.model.likelihood == "bernoulli"
        parts = []
        for rows in self._blocks(raw.shape[0]):
            base = self.baseline(raw[rows], covariates[rows])
            parts.append((expit(base) if likely else base).mean(axis=0))
        return np.concatenate(parts)

    def thinned(self, count: int) -> "Posterior":
        """At most ``count`` of the draws, evenly spaced."""
        if count >= self.n_draws:
            return self
        chosen = np.linspace(0, self.n_draws - 1, count).round().astype(np.int64)
        return replace(self, draws=self.draws[chosen])

    def _parts(self) -> dict[str, Floats]:
        return self.model.arrays(self.draws)

    @property
    def rows_at_once(self) -> int:
        """Rows whose types in all draws fit into memory."""
        return max(1, _CELLS // (self.n_draws * max(2, self.model.n_types)))

    def _blocks(self, n: int) -> list[slice]:
        return [slice(at, at + self.rows_at_once) for at in range(0, n, self.rows_at_once)]
