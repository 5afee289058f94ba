"""The root is a table: names resolve on first use and wrong names fail as Python expects."""

import pytest

import causalkit as ck


@pytest.mark.parametrize("name", ck.__all__)
def test_every_public_name_resolves_to_the_object_of_its_home(name):
    value = getattr(ck, name)
    if name in ck._MODULES:
        assert value.__name__ == f"causalkit.{name}"
    else:
        assert value.__name__ == name
        assert value.__module__.startswith(ck._HOME[name])


def test_dir_shows_the_public_names():
    assert set(dir(ck)) == set(ck.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match=r"module 'causalkit' has no attribute 'PanelDLM'"):
        ck.PanelDLM  # noqa: B018


def test_from_import_works_for_every_public_name():
    namespace: dict[str, object] = {}
    exec(f"from causalkit import {', '.join(ck.__all__)}", namespace)
    assert set(ck.__all__) <= namespace.keys()


def test_an_unknown_from_import_is_an_import_error():
    with pytest.raises(ImportError, match="PanelDLM"):
        from causalkit import PanelDLM  # noqa: F401
