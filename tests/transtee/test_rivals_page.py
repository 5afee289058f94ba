"""The page of rivals says from its records who is better, the release or TransTEE."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the page names its version")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def said(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import transtee_rivals_page

    def of(release, draws=4):
        """Page on texts; how much larger a first error of the release is, and on how many draws."""
        found = {}
        for draw in range(draws):
            base, shift = {"seconds": 8.0, "epochs": 9.0}, 0.001 * draw
            rival = base | {"√PEHE": 0.9, "ε_ATE": 0.9}
            ours = base | {"√PEHE": 0.2 + shift, "ε_ATE": 0.1}
            found[str(draw)] = {"TransTEE": ours, "TARNet": rival, "DragonNet": rival}
            if release and draw < release[1]:
                chance = (0.03, -0.01, -0.02, 0.004)[draw]
                theirs = {"√PEHE": 0.2 + 2 * shift + release[0], "ε_ATE": 0.1 + chance}
                found[str(draw)]["ReleasedTransTEE"] = base | theirs | {"seconds": 4.0}
        return transtee_rivals_page.page({"texts": found})

    return of


def test_who_is_better_is_told_by_measure_and_a_gap_of_chance_is_nobody_s(said):
    page = said((-0.1, 4))
    assert "Beside the release, on 4 draws: the release is better by √PEHE, 0.202 for 0.103" in page
    assert "4 draws cannot tell who is better by ε_ATE, 0.100 for 0.101" in page
    assert "TransTEE is better by √PEHE, 0.202 for 0.303" in said((0.1, 4))
    assert "TransTEE take 8 s, and the one of the release 4 s, 0.5 times as long" in page


def test_draws_without_the_release_are_left_out_beside_it_and_no_others(said):
    page = said((0.1, 1))
    assert "| ReleasedTransTEE | 1 | 0.300" in page
    assert "ReleasedTransTEE in 1 of 1 by √PEHE" in page
    assert "TARNet in 4 of 4 by √PEHE" in page
    assert "on 1 draw: one draw cannot tell who is better by √PEHE, 0.200 for 0.300" in page


def test_a_release_that_diverged_is_counted(said):
    assert "on 4 draws, of which it diverged on 4" in said((float("nan"), 4))


def test_a_page_without_the_release_does_not_speak_of_it(said):
    assert "Beside the release" not in said(None)
