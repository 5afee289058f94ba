"""Effects by image: clusters, embeddings, forests and maps for randomised trials with images."""

from causalkit.images.clusters import ImageEffectClusters
from causalkit.images.embed import embed_images
from causalkit.images.embedding_clusters import EmbeddingEffectClusters
from causalkit.images.encoders import ImageEncoder
from causalkit.images.forest import ImageCausalForest
from causalkit.images.landcover import cate_by_landcover
from causalkit.images.plots_maps import plot_salience
from causalkit.images.transport import TransportMap

__all__ = [
    "EmbeddingEffectClusters",
    "ImageCausalForest",
    "ImageEffectClusters",
    "ImageEncoder",
    "TransportMap",
    "cate_by_landcover",
    "embed_images",
    "plot_salience",
]
