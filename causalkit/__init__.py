"""Treatment effects from panels, invalid instruments, networks and images."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from causalkit.provenance import __version__ as __version__

if TYPE_CHECKING:
    from causalkit import errors as errors
    from causalkit import generators as generators
    from causalkit import images as images
    from causalkit import metrics as metrics
    from causalkit.data import CausalData as CausalData
    from causalkit.data import list_datasets as list_datasets
    from causalkit.data import load_dataset as load_dataset
    from causalkit.heterogeneity import dr_scores as dr_scores
    from causalkit.heterogeneity import (
        rank_average_treatment_effect as rank_average_treatment_effect,
    )
    from causalkit.heterogeneity import rate_test as rate_test
    from causalkit.images import EmbeddingEffectClusters as EmbeddingEffectClusters
    from causalkit.images import ImageCausalForest as ImageCausalForest
    from causalkit.images import ImageEffectClusters as ImageEffectClusters
    from causalkit.images import ImageEncoder as ImageEncoder
    from causalkit.images import embed_images as embed_images
    from causalkit.iv import InvalidIV as InvalidIV
    from causalkit.panel import PanelDML as PanelDML
    from causalkit.provenance import info as info
    from causalkit.results import EffectResult as EffectResult
    from causalkit.results import table as table
    from causalkit.study import Study as Study
    from causalkit.transtee import TransTEE as TransTEE
    from causalkit.transtee import embed_texts as embed_texts

_MODULES = {"errors", "generators", "images", "metrics"}
_HOME = {
    "CausalData": "causalkit.data",
    "EffectResult": "causalkit.results",
    "EmbeddingEffectClusters": "causalkit.images",
    "ImageCausalForest": "causalkit.images",
    "ImageEffectClusters": "causalkit.images",
    "ImageEncoder": "causalkit.images",
    "InvalidIV": "causalkit.iv",
    "PanelDML": "causalkit.panel",
    "Study": "causalkit.study",
    "TransTEE": "causalkit.transtee",
    "dr_scores": "causalkit.heterogeneity",
    "embed_images": "causalkit.images",
    "embed_texts": "causalkit.transtee",
    "info": "causalkit.provenance",
    "list_datasets": "causalkit.data",
    "load_dataset": "causalkit.data",
    "rank_average_treatment_effect": "causalkit.heterogeneity",
    "rate_test": "causalkit.heterogeneity",
    "table": "causalkit.results",
}
__all__ = sorted(_MODULES | _HOME.keys())


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"causalkit.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'causalkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
