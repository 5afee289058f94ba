"""Names of estimators and generators, and where each lives: ``"module:object"``.

Strings, not objects, so that looking up a name imports nothing else.
"""

from importlib import import_module
from typing import Any

from causalkit.errors import unknown_name

ESTIMATORS = {
    "dragonnet": "causalkit.transtee.baselines:DragonNet",
    "drnet": "causalkit.transtee.baselines:DRNet",
    "embedding-effect-clusters": "causalkit.images:EmbeddingEffectClusters",
    "image-causal-forest": "causalkit.images:ImageCausalForest",
    "image-effect-clusters": "causalkit.images:ImageEffectClusters",
    "invalid-iv": "causalkit.iv:InvalidIV",
    "panel-dml": "causalkit.panel:PanelDML",
    "panel-regression": "causalkit.panel.regression:PanelRegression",
    "tarnet": "causalkit.transtee.baselines:TARNet",
    "transtee": "causalkit.transtee:TransTEE",
    "vcnet": "causalkit.transtee.baselines:VCNet",
}

GENERATORS = {
    "panel_fp2024": "causalkit.generators.panel:panel_fp2024",
    "panel_cp2025": "causalkit.generators.panel:panel_cp2025",
    "invalid_iv": "causalkit.generators.iv:invalid_iv",
    "iv_many": "causalkit.generators.iv:iv_many",
    "dose_synthetic": "causalkit.generators.dose:dose_synthetic",
    "multi_arm": "causalkit.generators.dose:multi_arm",
    "dosage": "causalkit.generators.expression:dosage",
    "ihdp": "causalkit.generators.semisynthetic:ihdp",
    "ihdp_published": "causalkit.generators.replications:ihdp_published",
    "ihdp_continuous": "causalkit.generators.infant_doses:ihdp_continuous",
    "nsw_style": "causalkit.generators.semisynthetic:nsw_style",
    "news_like": "causalkit.generators.news:news_like",
    "graph_sw": "causalkit.generators.graph_treatments:graph_sw",
    "graph_tcga": "causalkit.generators.graph_treatments:graph_tcga",
    "text_concept": "causalkit.generators.concepts:text_concept",
    "image_rct": "causalkit.generators.images:image_rct",
    "image_sequence_rct": "causalkit.generators.image_sequences:image_sequence_rct",
    "embedding_rct": "causalkit.generators.embeddings:embedding_rct",
}


def load(kind: str, name: str, table: dict[str, str]) -> Any:
    """Object behind a registered name, or behind ``"package.module:object"``."""
    if name not in table and ":" not in name:
        raise unknown_name(kind, name, table)
    module, _, attribute = table.get(name, name).partition(":")
    return getattr(import_module(module), attribute)


def class_path(name: str) -> str:
    """How a user reaches the class of an estimator.

    Examples
    --------
    >>> class_path("TransTEE"), class_path("TARNet")
    ('ck.TransTEE', 'causalkit.transtee.baselines.TARNet')
    """
    homes = dict(target.split(":")[::-1] for target in ESTIMATORS.values())
    home = homes.get(name, "causalkit")
    return f"ck.{name}" if home.count(".") < 2 else f"{home}.{name}"
