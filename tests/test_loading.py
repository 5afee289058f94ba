"""Paths that hold no fit, or one of another class."""

import pytest

import causalkit as ck
from causalkit.errors import StorageError
from causalkit.tensorfile import save_fit

FILES = [ck.EmbeddingEffectClusters, ck.ImageCausalForest, ck.PanelDML, ck.InvalidIV]
FOLDERS = [ck.ImageEffectClusters, ck.TransTEE]


@pytest.mark.parametrize("estimator", FILES)
def test_what_is_no_saved_file_is_named(estimator, tmp_path):
    name = estimator.__name__
    with pytest.raises(StorageError, match=f"there is no file .*nowhere.*{name}.save wrote"):
        estimator.load(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="is a folder, and no fit lies in it"):
        estimator.load(tmp_path)
    save_fit(tmp_path / "other", "ImageEffectClusters", {}, {}, schema=1)
    with pytest.raises(StorageError, match=r"load it by ck\.ImageEffectClusters\.load"):
        estimator.load(tmp_path / "other")
    (tmp_path / "text").write_text("no pickle")
    with pytest.raises(StorageError, match=r"cannot be read .* no file that .* wrote"):
        estimator.load(tmp_path / "text")


@pytest.mark.parametrize("estimator", FOLDERS)
def test_what_is_no_saved_folder_is_named(estimator, tmp_path):
    with pytest.raises(StorageError, match=r"nowhere lacks .*: there is no such folder"):
        estimator.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=f"file is a file, and {estimator.__name__} is saved in"):
        estimator.load(tmp_path / "file")
    other = next(one.__name__ for one in FOLDERS if one is not estimator)
    save_fit(tmp_path / "other", other, {}, {}, schema=1)
    with pytest.raises(
        StorageError, match=rf"holds '{other}', no .*; load it by ck\.{other}\.load"
    ):
        estimator.load(tmp_path / "other")


def test_a_class_is_named_by_where_it_lies(tmp_path):
    save_fit(tmp_path / "fit", "TARNet", {}, {}, schema=1)
    for estimator in (ck.TransTEE, ck.ImageEffectClusters, ck.PanelDML):
        with pytest.raises(
            StorageError, match=r"load it by causalkit\.transtee\.baselines\.TARNet\.load\."
        ):
            estimator.load(tmp_path / "fit")
