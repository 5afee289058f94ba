"""Effects by image: clusters, embeddings, forests and maps for randomised trials with images."""

from causalkit.images.clusters import ImageEffectClusters
from causalkit.images.encoders import ImageEncoder
from causalkit.images.landcover import cate_by_landcover
from causalkit.images.plots_maps import plot_salience
from causalkit.images.transport import TransportMap

__all__ = [
    "ImageEffectClusters",
    "ImageEncoder",
    "TransportMap",
    "cate_by_landcover",
    "plot_salience",
]
