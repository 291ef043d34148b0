"""Keys of what was worked out before: equal only for the very same object."""

from sloguard.engine.same import Same, all_same, of_all


def test_only_the_very_same_object_is_the_same():
    one, equal = [1], [1]
    assert Same(one) == Same(one)
    assert hash(Same(one)) == hash(Same(one))
    assert Same(one) != Same(equal)
    assert Same(one) != one


def test_and_so_it_is_of_many_in_their_order():
    one, other = [1], [1]
    assert all_same([one, other]) == all_same([one, other])
    assert all_same([one, other]) != all_same([other, one])
    assert of_all(all_same([one, other]))[0] is one
