"""What turns an image into a vector: built in, of random filters, or a module of the user's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from causalkit.errors import ArgumentError, check_count, unknown_name
from causalkit.rng import seed_of
from causalkit.typing import Floats


@dataclass(frozen=True, slots=True, eq=False)
class ImageEncoder:
    """A way to encode a frame, and what it expects of the bands.

    Attributes
    ----------
    name : str
        Part of the address of cached embeddings.
    build : callable
        Number of bands to a torch module that maps ``(b, band, y, x)`` to ``(b, d)`` and has an
        attribute ``n_features``.
    trained : bool
        Whether its weights are learned with the effects. An encoder that is not trained has not
        seen the outcome.
    bands : tuple of str or None
        Bands that it was made for, in order; None takes any.
    mean, sd : tuple of float or None
        How its bands were normalised, in units of the store; None takes the training images.
    size : int or None
        Side to which images are resized (bilinear, antialiased).

    Examples
    --------
    >>> ImageEncoder.random(n_filters=16, seed=1).name
    'random-16x5-1'
    """

    name: str
    build: Callable[[int], Any]
    trained: bool = False
    bands: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    sd: tuple[float, ...] | None = None
    size: int | None = None

    @classmethod
    def cnn(cls, *, width: int = 32) -> "ImageEncoder":
        """Three convolutions with global pooling, trained with the effects."""
        check_count("width", width, least=8)
        if width % 8:
            raise ArgumentError(f"width must be a multiple of 8, got {width}.")

        def build(bands: int) -> Any:
            from causalkit.images.networks import ConvEncoder

            return ConvEncoder(bands, width)

        return cls(f"cnn-{width}", build, trained=True)

    @classmethod
    def random(cls, *, n_filters: int = 64, size: int = 5, seed: int = 0) -> "ImageEncoder":
        """Random filters: needs neither outcome nor network, and is the baseline for both."""
        check_count("n_filters", n_filters, least=1)
        check_count("size", size, least=1)

        def build(bands: int) -> Any:
            import torch

            from causalkit.images.networks import RandomConv

            generator = torch.Generator().manual_seed(seed_of(seed, "filters"))
            return RandomConv(bands, n_filters, size, generator)

        return cls(f"random-{n_filters}x{size}-{seed}", build)

    @classmethod
    def of(
        cls,
        module: Any,
        *,
        name: str,
        bands: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        sd: Sequence[float] | None = None,
        size: int | None = None,
        trained: bool = False,
    ) -> "ImageEncoder":
        """Module of the user's own, such as one with pretrained weights.

        Parameters
        ----------
        module : torch.nn.Module or callable
            Maps ``(b, band, y, x)`` to ``(b, d)``; what comes with more dimensions is averaged
            over them. A callable makes one from the number of bands.
        name : str
            Says which weights these are: cached embeddings are found by it.
        bands : sequence of str, optional
            Names and order of the bands that the weights were made for. Data with others are
            refused, never cut or padded.
        mean, sd : sequence of float, optional
            Normalisation of the weights' training, in units of the store.
        size : int, optional
            Side to which images are resized.
        trained : bool, default False
            Go on training it with the effects.

        Raises
        ------
        ArgumentError
            If ``mean`` and ``sd`` do not have one positive entry per band.
        """
        import torch

        for label, values in (("mean", mean), ("sd", sd)):
            if values is not None and bands is not None and len(values) != len(bands):
                raise ArgumentError(
                    f"{label} has {len(values)} entries for {len(bands)} bands; give one each."
                )
        if (mean is None) != (sd is None) or (sd is not None and min(sd) <= 0):
            raise ArgumentError("give mean and sd together, sd positive; or neither.")

        def build(count: int) -> Any:
            from causalkit.images.pretrained import Flat

            made = module if isinstance(module, torch.nn.Module) else module(count)
            return Flat(made)

        return cls(
            name,
            build,
            trained,
            None if bands is None else tuple(bands),
            None if mean is None else tuple(mean),
            None if sd is None else tuple(sd),
            size,
        )

    def check(self, bands: tuple[str, ...]) -> None:
        """Refuse images with other bands.

        Raises
        ------
        ArgumentError
        """
        if self.bands is not None and bands != self.bands:
            raise ArgumentError(
                f"encoder {self.name!r} was made for the bands {', '.join(self.bands)}, and the "
                f"images have {', '.join(bands)}; select and order them: "
                f"ds.sel(band={list(self.bands)})."
            )

    def scale(self) -> tuple[Floats, Floats] | None:
        """Mean and standard deviation of each band that the weights expect."""
        import numpy as np

        if self.mean is None or self.sd is None:
            return None
        return np.asarray(self.mean, dtype=np.float64), np.asarray(self.sd, dtype=np.float64)


def resolve_encoder(encoder: Any) -> ImageEncoder:
    """Encoder behind a name, a module, or itself.

    Raises
    ------
    ArgumentError
        If it is neither.
    """
    named: dict[str, Callable[[], ImageEncoder]] = {
        "cnn": ImageEncoder.cnn,
        "random": ImageEncoder.random,
    }
    if isinstance(encoder, ImageEncoder):
        return encoder
    if isinstance(encoder, str):
        if encoder not in named:
            raise unknown_name("encoder", encoder, named)
        return named[encoder]()
    raise ArgumentError(
        f"encoder must be 'cnn', 'random' or an ImageEncoder (a module of your own: "
        f"ImageEncoder.of(module, name=...)); got {type(encoder).__name__}."
    )
