"""What a fit on pixels shows, and where it is applied."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from causalkit.data import CausalData
from causalkit.data.images import ImageStore
from causalkit.errors import cannot_write
from causalkit.images.batches import Images
from causalkit.images.cluster_map import ClusterMap
from causalkit.images.fitting import Fitted
from causalkit.images.inputs import restricted, target_of
from causalkit.images.seal import Seal
from causalkit.images.splits import Parts
from causalkit.images.support import Reference
from causalkit.images.transport import TransportMap, transport
from causalkit.rng import seed_of
from causalkit.typing import Floats
from causalkit.whole_file import write_whole

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


class PixelMap(ClusterMap):
    """Clusters of places whose encoders read images; ``fit`` sets ``_reference`` and the rest."""

    image: str | None
    _fitted: Fitted
    _reference: Reference
    _seal: Seal

    def salience(
        self,
        data: Any,
        *,
        cluster: int | str | None = None,
        images: Any = None,
        occlusion: bool = False,
        block: int = 8,
        segments: Any = None,
        at: Literal["posterior", "mode"] = "posterior",
        noise: float = 0.0,
        n_draws: int = 100,
        batch_size: int = 64,
        to_zarr: Any = None,
    ) -> "xr.Dataset":
        """What in each image speaks for a cluster.

        Parameters
        ----------
        data : CausalData, or xarray Dataset or DataArray of images
        cluster : int or str, optional
            ``2`` or ``"cluster 2"``; default is the one with the largest effect.
        images : sequence of keys, optional
            Only these images; default is all that ``data`` has rows for.
        occlusion : bool, default False
            Also by how much the cluster's probability falls when a square becomes the mean of its
            bands (in all frames): one pass of the encoder per square.
        block : int, default 8
            Side of the squares in pixels.
        segments : "blocks", array or DataArray, optional
            Also the mean magnitude in squares, or in pieces labelled by ``(y, x)`` or
            ``(place, y, x)``.
        at : {"posterior", "mode"}, default "posterior"
            Explain the mean probability over posterior draws, which is what is predicted, or that
            at the mode that the encoder was trained with. The latter shows what was learned, more
            sharply: draws also weigh features that hardly matter.
        noise : float, default 0
            Average the derivative over twenty copies of the image with normal noise of so many
            standard deviations of each band. With 1 the largest derivative is a better witness, as
            that of single pixels depends on their neighbours by chance.
        n_draws, batch_size : int, default 100 and 64
            Posterior draws per member, and images at once.
        to_zarr : path, optional
            Write to a new store, batch by batch, and return what is there.

        Returns
        -------
        Dataset
            With the dimensions of the images but for the bands, in the order of the store:
            ``magnitude`` and ``direction``, length and mean over the bands of the derivative of
            the logit of the cluster's probability, by pixels in standard deviations of their band;
            ``segment`` and ``occlusion`` if asked for; ``probability``. Attributes give the
            cluster, and the factor to a derivative by raw units for each band.

        Raises
        ------
        ArgumentError
            If a key is absent, there is no such cluster, segments do not fit, or something is at
            ``to_zarr``.
        IdentificationError
            If there is one cluster.
        StorageError
            If the store cannot be written.

        References
        ----------
        Smilkov, Thorat, Kim, Viégas & Wattenberg (2017). SmoothGrad: removing noise by adding
        noise. arXiv:1706.03825.
        """
        from causalkit.images.salience import Wish, cluster_number, salience

        self._check_fitted()
        store = target_of(data, self._fitted.layout, self._fitted.standard).store
        wish = Wish(
            cluster=cluster_number(cluster, self.n_clusters_),
            occlusion=occlusion,
            block=block,
            segments=segments,
            at=at,
            n_draws=n_draws,
            batch_size=batch_size,
            noise=noise,
            seed=seed_of(self.seed_, "salience") % 2**63,
        )
        chosen = store if images is None else restricted(store, images)
        return salience(self._fitted, chosen, wish, to_zarr=to_zarr)

    def transport(self, data: Any, *, images: Any = None, level: float = 0.95) -> TransportMap:
        """Effects at places outside the trial, and how far these lie from those of the trial.

        Parameters
        ----------
        data : CausalData, or xarray Dataset or DataArray of images
            The target. Pixels are read in the units of the training images. Places of a data set
            are its images, each once, whatever the number of their units.
        images : sequence of keys, optional
            Only these images.
        level : float, default 0.95

        Returns
        -------
        TransportMap
            Effects by place, their average with joint uncertainty, and its sensitivity.

        Raises
        ------
        ArgumentError
            If a key is absent.
        DataError
            If the images differ in bands or size from those of the fit.
        IdentificationError
            If the fit has a single mode, whose uncertainty is unknown.
        """
        self._check_fitted()
        target = target_of(data, self._fitted.layout, self._fitted.standard)
        if images is not None:
            target = target.only(images)
        found = transport(self._fitted, self._reference, target, level=level)
        return replace(found, outcome=self.result_.outcome)

    def plot_clusters(
        self, data: Any = None, *, n_images: int = 5, rgb: Sequence[str] | None = None
    ) -> "Figure":
        """Effects of the clusters beside the evaluation images that are most typical of each.

        Parameters
        ----------
        data : CausalData, optional
            The data of the fit; without them only effects are drawn.
        n_images : int, default 5
            Per cluster.
        rgb : sequence of one or three str, optional
            Bands to show, such as ``("B4", "B3", "B2")``. Default: the first three; the first
            where there are fewer. Shades run from the 2nd to the 98th percentile of what is shown.

        Returns
        -------
        Figure
            With the table of :meth:`cluster_effects` as ``plot_data``, and the keys of the images.
        """
        from causalkit.images.plots import plot_clusters

        self._check_fitted()
        store = None if data is None else self._store_of_fit(data, ".plot_clusters")
        return plot_clusters(
            self.cluster_effects(),
            self.evaluation_,
            store,
            n_images=n_images,
            rgb=rgb,
            outcome=self.result_.outcome,
        )

    def report(
        self,
        path: Any,
        data: CausalData,
        *,
        target: Any = None,
        title: str = "",
        rgb: Sequence[str] | None = None,
    ) -> Path:
        """Write one HTML page for those who decide: effects, targeting, a map, and what is unknown.

        Parameters
        ----------
        path : path
            Of the page, which needs no other file; one that is there is replaced.
        data : CausalData
            The data of the fit.
        target : CausalData, or xarray Dataset or DataArray of images, optional
            Places to map; default is those of the trial.
        title : str
        rgb : sequence of one or three str, optional
            Bands to show, as in :meth:`plot_clusters`.

        Returns
        -------
        Path

        Raises
        ------
        StorageError
            If the file cannot be written; what was there before stays.
        """
        from causalkit.images.report import effect_report

        self._check_fitted()
        self._store_of_fit(data, ".report")
        page = effect_report(self, data, target=target, title=title, rgb=rgb)
        try:
            write_whole(Path(path), page)
        except OSError as error:
            raise cannot_write(path, error) from error
        return Path(path)

    def save(self, path: Any) -> None:
        """Write the fitted estimator to a folder: weights, posterior draws and plain text.

        No pickle. Images and the table stay out; scores, predictions and row numbers of the
        evaluation rows go along. An encoder of your own is saved by its weights and its name.

        Raises
        ------
        NotFittedError
        StorageError
            If the folder has other things than a saved fit, or cannot be written.
        """
        from causalkit.images.saving import save

        self._check_fitted()
        save(self, Path(path))

    @classmethod
    def load(cls, path: Any, *, encoder: Any = None, device: str | None = None) -> Self:
        """Read what :meth:`save` wrote; on a processor all numbers are the same to the bit.

        Parameters
        ----------
        path : path
        encoder : ImageEncoder, optional
            Needed where the encoder was your own.
        device : str, optional
            Other than the one of the fit.

        Raises
        ------
        ArgumentError
            If an encoder of your own is not passed, or it is another one.
        StorageError
            If the folder holds something else, or was changed.
        """
        from causalkit.images.saving import load

        found: Self = load(cls, Path(path), encoder=encoder, device=device)
        return found

    def _store_of_fit(self, data: Any, method: str) -> ImageStore:
        """Images of the data of the fit, passed again; others are refused."""
        self._check_data(data, method=method)
        store = ImageStore.of(data, self.image)
        self._seal.check(data, store)
        return store

    def _set_fitted(self, fitted: Fitted, parts: Parts, seed: int) -> None:
        self._fitted = fitted
        self.members_ = fitted.members
        self.n_clusters_ = fitted.n_clusters
        self.choice_ = fitted.choice
        self.parts_ = parts
        self.seed_ = seed

    def _inputs(self, data: Any) -> tuple[list[Floats], Floats, tuple[str, Any]]:
        target = target_of(data, self._fitted.layout, self._fitted.standard)
        features = self._fitted.features(Images.of(target.store), target.images)
        return [found[target.inverse] for found in features], target.covariates, target.labels
