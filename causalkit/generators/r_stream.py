"""Random numbers as R gives them after ``set.seed``: for published data that R drew."""

import numpy as np
from scipy.special import ndtri

from causalkit.errors import check_count
from causalkit.typing import Floats

_WORD = 1 << 32
_UNIT = 2.3283064365386963e-10  # just below 1 / 2^32, as R has it
_BIG = 134217728.0  # 2^27


class RStream:
    r"""Uniform and normal numbers of R's default generators, Mersenne Twister and inversion.

    The seed goes 50 times through :math:`s ← 69069 s + 1 \pmod{2^{32}}`; the next 625 values are a
    position, which R overwrites, and the 624 words of the twister. A uniform number is one word
    times 2.3283064365386963e-10, kept inside (0, 1); a normal one takes two,
    :math:`Φ^{-1}((\lfloor 2^{27} u_1 \rfloor + u_2) / 2^{27})`.

    Parameters
    ----------
    seed : int
        What ``set.seed`` was given; not negative.

    References
    ----------
    Matsumoto & Nishimura (1998), ACM TOMACS 8:3; Wichura (1988), Applied Statistics 37:477; the
    help page ``?Random`` of R.

    Examples
    --------
    >>> [round(float(u), 7) for u in RStream(42).uniforms(2)]
    [0.914806, 0.9370754]
    """

    def __init__(self, seed: int) -> None:
        state = check_count("seed", seed, least=0) % _WORD
        for _ in range(50):
            state = (69069 * state + 1) % _WORD
        words = np.empty(625, dtype=np.uint32)
        for place in range(625):
            state = (69069 * state + 1) % _WORD
            words[place] = state
        self._twister = np.random.MT19937()
        self._twister.state = {"bit_generator": "MT19937", "state": {"key": words[1:], "pos": 624}}

    def uniforms(self, n: int) -> Floats:
        """The next ``n`` numbers of ``runif``."""
        words = np.asarray(self._twister.random_raw(n), dtype=np.float64)
        edge = 0.5 * _UNIT
        return np.clip(words * _UNIT, edge, 1.0 - edge)

    def normals(self, n: int) -> Floats:
        """The next ``n`` numbers of ``rnorm``."""
        first, second = self.uniforms(2 * n).reshape(n, 2).T
        return np.asarray(ndtri((np.floor(_BIG * first) + second) / _BIG), dtype=np.float64)
