import itertools

import pytest

from lossatlas.landscape.chains import LONGEST, Chained, row_chains


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (2, 8), (2, 9), (4, 51), (51, 2)])
def test_chains_follow_the_rows_and_are_nearly_equal(rows, columns):
    chains = row_chains(rows, columns)
    assert list(itertools.chain(*chains)) == list(range(rows * columns))
    assert all(chain[0] // columns == chain[-1] // columns for chain in chains)
    lengths = {len(chain) for chain in chains}
    assert max(lengths) <= LONGEST
    assert max(lengths) - min(lengths) <= 1
    # no more chains than the bound needs
    assert len(chains) == rows * -(-columns // LONGEST)


def chained(chains):
    """Values that tell which places were followed to get there, and the places in the order they were computed."""
    asked = []

    def follow(place, before):
        asked.append(place)
        path = [*(before or []), place]
        return {"sum": float(sum(10**k * p for k, p in enumerate(path)))}, path

    return Chained(chains, follow), asked


CHAINS = row_chains(2, 10)


def test_in_order_each_place_is_computed_once():
    values_at, asked = chained(CHAINS)
    for place in range(20):
        values_at(place)
    assert asked == list(range(20))


@pytest.mark.parametrize("order", [[3], [0, 1, 3], [7, 2], [2, 2], [4, 0, 1, 14, 2], list(range(19, -1, -1))])
def test_a_value_depends_on_the_place_alone(order):
    whole, _ = chained(CHAINS)
    expected = [whole(place) for place in range(20)]
    values_at, _ = chained(CHAINS)
    assert [values_at(place) for place in order] == [expected[place] for place in order]


def test_what_was_left_is_taken_up_from_the_head_of_its_chain_only():
    values_at, asked = chained(CHAINS)
    values_at(7)
    assert asked == [5, 6, 7]
    values_at(9)
    assert asked == [5, 6, 7, 8, 9]
    values_at(12)
    assert asked[5:] == [10, 11, 12]
