"""What turns an image into a vector: built in, of random filters, or a module of the user's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from causalkit.data.candidate import plain
from causalkit.data.images import ImageStore
from causalkit.errors import (
    ArgumentError,
    CausalKitWarning,
    check_count,
    check_flag,
    unknown_name,
)
from causalkit.images import encoder_builders as builders
from causalkit.typing import Floats
from causalkit.warn import warn

_FILES = (".pt", ".pth", ".ckpt", ".bin")


@dataclass(frozen=True, slots=True, eq=False)
class ImageEncoder:
    """A way to encode a frame, and what it expects of the bands.

    Attributes
    ----------
    name : str
        Part of what embeddings and saved fits are known by.
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
    trained_on : tuple or None
        Keys of the images with whose outcomes the weights were trained; None if with none.
    sequence : bool
        Whether the module takes sequences whole, ``(b, time, band, y, x)``, in place of frames.

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
    trained_on: tuple[Any, ...] | None = None
    sequence: bool = False

    @classmethod
    def cnn(cls, *, width: int = 32) -> "ImageEncoder":
        """Three convolutions with global pooling, trained with the effects."""
        check_count("width", width, least=8)
        if width % 8:
            raise ArgumentError(f"width must be a multiple of 8, got {width}.")
        return cls(f"cnn-{width}", partial(builders.conv, width=width), trained=True)

    @classmethod
    def filters(cls, *, n_filters: int = 32, size: int = 5) -> "ImageEncoder":
        """One layer of filters with global pooling, trained with the effects.

        For small patterns that matter wherever they are. With so few weights it learns patterns
        from fewer images than :meth:`cnn`, and cannot learn what they form together.

        Parameters
        ----------
        n_filters, size : int, default 32 and 5
            Filters, and the side of each in pixels.
        """
        check_count("n_filters", n_filters, least=1)
        check_count("size", size, least=1)
        build = partial(builders.filters, n_filters=n_filters, size=size)
        return cls(f"filters-{n_filters}x{size}", build, trained=True)

    @classmethod
    def random(
        cls, *, n_filters: int = 64, size: int = 5, seed: int = 0, centred: bool = False
    ) -> "ImageEncoder":
        """Random filters: needs neither outcome nor network, and is the baseline for both.

        Parameters
        ----------
        n_filters, size : int, default 64 and 5
            Filters, and the side of each in pixels.
        seed : int, default 0
        centred : bool, default False
            Filters of any mean see brightness as well as patterns, and brightness then leads the
            principal components: what a place that grows brighter over the years needs. Filters of
            mean zero leave it out, and see small patterns better.
        """
        check_count("n_filters", n_filters, least=1)
        check_count("size", size, least=1)
        kind = "random-centred" if centred else "random"
        build = partial(
            builders.random_filters, n_filters=n_filters, size=size, seed=seed, centred=centred
        )
        return cls(f"{kind}-{n_filters}x{size}-{seed}", build)

    @classmethod
    def of(
        cls,
        module: Any,
        *,
        name: str,
        bands: Sequence[Any] | None = None,
        mean: Sequence[float] | None = None,
        sd: Sequence[float] | None = None,
        size: int | None = None,
        trained: bool = False,
        trained_on: Any = None,
        sequence: bool = False,
    ) -> "ImageEncoder":
        """Module of the user's own, such as one with pretrained weights.

        Parameters
        ----------
        module : torch.nn.Module or callable
            Maps ``(b, band, y, x)`` to ``(b, d)``; what comes with more dimensions is averaged
            over them. It is copied. A callable makes one from the number of bands.
        name : str
            Says which weights these are. Embeddings and fits are told apart by it, and embeddings
            by the weights and the code of the module as well.
        bands : sequence, optional
            Names or numbers of the bands that the weights were made for, in order. Data with
            others are refused, never cut or padded.
        mean, sd : sequence of float, optional
            Normalisation of the weights' training, in units of the store.
        size : int, optional
            Side to which images are resized.
        trained : bool, default False
            Go on training it with the effects, a copy of it for every start.
        trained_on : sequence of keys, optional
            Images with whose outcomes the weights were trained: a trial with some of these, or an
            embedding of them, is refused.
        sequence : bool, default False
            The module takes sequences whole, ``(b, time, band, y, x)``, as an encoder of video
            does, and ``temporal`` is not used. It is called with some sequences at a time.

        Raises
        ------
        ArgumentError
            If ``mean`` and ``sd`` do not have one positive entry per band, or ``size`` is no whole
            number above 0.
        """
        for label, values in (("mean", mean), ("sd", sd)):
            if values is not None and bands is not None and len(values) != len(bands):
                raise ArgumentError(
                    f"{label} has {len(values)} entries for {len(bands)} bands; give one each."
                )
        if (mean is None) != (sd is None) or (sd is not None and min(sd) <= 0):
            raise ArgumentError("give mean and sd together, sd positive; or neither.")
        return cls(
            name,
            partial(builders.own, module=module, trained=trained),
            trained,
            None if bands is None else tuple(str(plain(band)) for band in bands),
            None if mean is None else tuple(mean),
            None if sd is None else tuple(sd),
            None if size is None else check_count("size", size, least=1),
            None if trained_on is None else tuple(plain(key) for key in trained_on),
            check_flag("sequence", sequence),
        )

    @classmethod
    def from_file(
        cls, path: Any, *, build: Callable[[int], Any], name: str | None = None, **facts: Any
    ) -> "ImageEncoder":
        """Module of the user's own with weights from a file.

        Parameters
        ----------
        path : path
            State dict; read weights-only, names and shapes all have to match.
        build : callable
            Number of bands to the module that the weights were saved from.
        name : str, optional
            Default: that of the file.
        **facts
            ``bands``, ``mean``, ``sd``, ``size``, ``trained``, ``trained_on``, ``sequence`` as for
            :meth:`of`.

        Raises
        ------
        ArgumentError
            When it is used: if the file is absent, or the weights are others.
        """
        module = partial(builders.from_file, build=build, path=path)
        return cls.of(module, name=name or Path(path).stem, **facts)

    @classmethod
    def timm(
        cls,
        name: str,
        *,
        pretrained: bool = False,
        checkpoint: Any = None,
        bands: Sequence[str] | None = None,
        **facts: Any,
    ) -> "ImageEncoder":
        """Encoder of the package timm.

        Parameters
        ----------
        name : str
            Model of timm, such as ``"resnet18"``.
        pretrained : bool, default False
            Take timm's own weights, which it may download, with their normalisation and size. Made
            for red, green and blue from 0 to 1: name these three in ``bands``; pixels in other
            units are refused.
        checkpoint : path, optional
            State dict without the classifier.
        bands : sequence of str, optional
            Bands that the weights were made for, in order.
        **facts
            ``mean``, ``sd``, ``size``, ``trained``, ``trained_on`` as for :meth:`of`; ``mean`` and
            ``sd`` in units of the store.

        Raises
        ------
        ArgumentError, MissingDependencyError
        """
        from causalkit.images.pretrained_loaders import timm_normalisation

        if pretrained and (bands is None or len(bands) != 3):
            raise ArgumentError(
                "timm's own weights are for three bands; say which of yours are red, green and "
                "blue: bands=[...], and select them: ds.sel(band=[...])."
            )
        if pretrained:
            mean, sd, side = timm_normalisation(name)
            facts = {"mean": mean, "sd": sd, "size": side} | facts
        label = f"timm-{name}" + ("-pretrained" if pretrained else "")
        module = partial(builders.timm, name=name, pretrained=pretrained, checkpoint=checkpoint)
        return cls.of(module, name=facts.pop("name", label), bands=bands, **facts)

    @classmethod
    def torchgeo(
        cls, name: str, weights: Any = None, *, bands: Sequence[str] | None = None, **facts: Any
    ) -> "ImageEncoder":
        """Encoder of the package torchgeo.

        Parameters
        ----------
        name : str
            Model of torchgeo, such as ``"resnet18"``.
        weights : entry or name of torchgeo's table of weights, or path, optional
            An entry brings the names and order of its bands, and no units: these are in its
            ``transforms``, as code. A path is a state dict without the classifier, for which
            ``bands`` has to be given.
        bands : sequence of str, optional
            Bands that the weights were made for, in order, by the names in your data.
        **facts
            ``mean``, ``sd``, ``size``, ``trained``, ``trained_on`` as for :meth:`of`. Give ``mean``
            and ``sd`` as the weights were trained with. Without them each band is standardised by
            the training images, whatever its units, and a warning says so.

        Raises
        ------
        ArgumentError, MissingDependencyError
        """
        from causalkit.images.pretrained_loaders import torchgeo_bands, torchgeo_weights

        path = weights if isinstance(weights, Path) or str(weights).endswith(_FILES) else None
        entry = None if path is not None or weights is None else torchgeo_weights(name, weights)
        if path is not None and bands is None:
            raise ArgumentError(
                f"the file {str(path)!r} does not say for which bands its weights were made; name "
                "them in order: bands=[...]."
            )
        if entry is not None and bands is None:
            bands = torchgeo_bands(entry)
        if weights is not None and facts.get("mean") is None:
            warn(
                f"the weights of torchgeo's {name!r} come without units of their bands: each band "
                "is standardised by the training images, and nobody checks that the weights "
                "expect that. Pass mean=[...], sd=[...] in units of your images.",
                CausalKitWarning,
            )
        module = partial(builders.torchgeo, name=name, entry=entry, path=path)
        label = f"torchgeo-{name}-{Path(path).stem if path is not None else entry}"
        return cls.of(module, name=facts.pop("name", label), bands=bands, **facts)

    def check(self, store: ImageStore) -> None:
        """Refuse images with other bands, and single images where sequences are needed.

        Raises
        ------
        ArgumentError
        """
        if self.sequence and len(store.shape) == 3:
            raise ArgumentError(
                f"encoder {self.name!r} takes sequences, and the images {store.name!r} have no "
                "dimension 'time'; leave out sequence=True, or give frames."
            )
        if self.bands is not None and store.bands != self.bands:
            raise ArgumentError(
                f"encoder {self.name!r} was made for the bands {', '.join(self.bands)}, and the "
                f"images have {', '.join(store.bands)}; select and order them: "
                f"ds.sel(band={store.band_labels(self.bands)})."
            )

    def scale(self) -> tuple[Floats, Floats] | None:
        """Mean and standard deviation of each band that the weights expect."""
        import numpy as np

        if self.mean is None or self.sd is None:
            return None
        return np.asarray(self.mean, dtype=np.float64), np.asarray(self.sd, dtype=np.float64)


def _named() -> dict[str, Callable[[], ImageEncoder]]:
    return {
        "cnn": ImageEncoder.cnn,
        "filters": ImageEncoder.filters,
        "random": ImageEncoder.random,
    }


def resolve_encoder(encoder: Any) -> ImageEncoder:
    """Encoder behind a name, a module, or itself.

    Raises
    ------
    ArgumentError
        If it is neither.
    """
    if isinstance(encoder, ImageEncoder):
        return encoder
    if isinstance(encoder, str):
        named = _named()
        if encoder not in named:
            raise unknown_name("encoder", encoder, named)
        return named[encoder]()
    raise _no_encoder(encoder, "")


def _no_encoder(encoder: Any, more: str) -> ArgumentError:
    return ArgumentError(
        f"encoder must be {more}'cnn', 'filters', 'random' or an ImageEncoder (a module of your "
        f"own: ImageEncoder.of(module, name=...)); got {type(encoder).__name__}."
    )


def candidate_encoders(encoder: Any) -> tuple[ImageEncoder, ...]:
    """The encoder, or those to choose from: of a list, or both that are trained for ``"auto"``.

    Raises
    ------
    ArgumentError
        If one is no encoder, the list is empty, or two have one name.
    """
    if isinstance(encoder, str) and encoder == "auto":
        return ImageEncoder.cnn(), ImageEncoder.filters()
    if isinstance(encoder, str) and encoder not in _named():
        raise unknown_name("encoder", encoder, ["auto", *_named()])
    if isinstance(encoder, str | ImageEncoder):
        return (resolve_encoder(encoder),)
    if not isinstance(encoder, list | tuple):
        raise _no_encoder(encoder, "a list, 'auto', ")
    if "auto" in [one for one in encoder if isinstance(one, str)]:
        raise ArgumentError("encoder='auto' stands alone; a list names the encoders themselves.")
    found = tuple(resolve_encoder(one) for one in encoder)
    names = [one.name for one in found]
    if not found or len(set(names)) < len(names):
        raise ArgumentError(
            f"encoder as a list must name encoders, each once, got {', '.join(names) or 'none'}."
        )
    return found
