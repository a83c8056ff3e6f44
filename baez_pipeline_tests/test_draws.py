from baez_pipeline.draws import seed_of, seeded_order


def test_every_name_has_a_seed_of_its_own():
    seeds = {seed_of(7, *names) for names in [("a", "b"), ("ab",), ("b", "a"), ("a", "b", "c")]}
    assert len(seeds) == 4
    assert seed_of(7, "a") != seed_of(8, "a")


def test_adding_an_item_leaves_the_order_of_the_others():
    few, many = seeded_order(range(50), 1, "draw"), seeded_order(range(80), 1, "draw")
    assert [item for item in many if item < 50] == few
    assert few != sorted(few)
    assert seeded_order(range(50), 2, "draw") != few
