"""Effects by image: clusters, embeddings, forests and maps for randomised trials with images."""

from causalkit.images.clusters import ImageEffectClusters
from causalkit.images.encoders import ImageEncoder

__all__ = ["ImageEffectClusters", "ImageEncoder"]
