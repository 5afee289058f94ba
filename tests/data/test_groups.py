"""Rows that share a label."""

import numpy as np

from causalkit.data.groups import joined_groups


def test_rows_that_share_a_label_are_one_group():
    found = joined_groups([np.array([0, 0, 1, 2, 3]), np.array([5, 1, 1, 0, 0])])
    assert found.tolist() == [0, 0, 0, 1, 1]
