"""Simulation generators: each draws a data set whose truth is known.

Every registered generator is an attribute: ``ck.generators.panel_fp2024(0, n_units=200)``;
``ck.generators.list()`` shows them all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from causalkit.generators.spec import GeneratorSpec as GeneratorSpec
from causalkit.generators.spec import generator as generator
from causalkit.generators.spec import list_generators as list
from causalkit.generators.spec import spec_of as spec_of
from causalkit.registry import GENERATORS, load

if TYPE_CHECKING:
    from causalkit.generators.concepts import text_concept as text_concept
    from causalkit.generators.dose import dose_synthetic as dose_synthetic
    from causalkit.generators.dose import multi_arm as multi_arm
    from causalkit.generators.embeddings import embedding_rct as embedding_rct
    from causalkit.generators.expression import dosage as dosage
    from causalkit.generators.files import load_expression as load_expression
    from causalkit.generators.files import load_news_counts as load_news_counts
    from causalkit.generators.graph_treatments import graph_sw as graph_sw
    from causalkit.generators.graph_treatments import graph_tcga as graph_tcga
    from causalkit.generators.image_sequences import image_sequence_rct as image_sequence_rct
    from causalkit.generators.images import image_rct as image_rct
    from causalkit.generators.infant_doses import ihdp_continuous as ihdp_continuous
    from causalkit.generators.iv import invalid_iv as invalid_iv
    from causalkit.generators.iv import iv_many as iv_many
    from causalkit.generators.molecules import load_molecules as load_molecules
    from causalkit.generators.news import news_like as news_like
    from causalkit.generators.panel import fp2024_grid as fp2024_grid
    from causalkit.generators.panel import panel_cp2025 as panel_cp2025
    from causalkit.generators.panel import panel_fp2024 as panel_fp2024
    from causalkit.generators.replications import ihdp_published as ihdp_published
    from causalkit.generators.replications import ihdp_split as ihdp_split
    from causalkit.generators.semisynthetic import ihdp as ihdp
    from causalkit.generators.semisynthetic import nsw_style as nsw_style
    from causalkit.generators.sentences import embed_sentences as embed_sentences

_HOME = {
    "embed_sentences": "causalkit.generators.sentences",
    "fp2024_grid": "causalkit.generators.panel",
    "ihdp_split": "causalkit.generators.replications",
    "load_expression": "causalkit.generators.files",
    "load_molecules": "causalkit.generators.molecules",
    "load_news_counts": "causalkit.generators.files",
}
__all__ = sorted(
    {"GeneratorSpec", "generator", "list", "spec_of"} | _HOME.keys() | GENERATORS.keys()
)


def __getattr__(name: str) -> Any:
    if name in GENERATORS:
        return load("generator", name, GENERATORS)
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'causalkit.generators' has no attribute {name!r}")


def __dir__() -> "list[str]":  # type: ignore[valid-type]  # the builtin, not ours
    return __all__
