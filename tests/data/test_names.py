from medpipe.data.names import nearest_names, some_names


def test_a_misspelt_name_brings_the_nearest() -> None:
    assert nearest_names("siim_arc", ["siim_acr", "nih_chestxray14"]) == "did you mean siim_acr?"


def test_a_strange_name_brings_all() -> None:
    assert nearest_names("zzz", ["b", "a"]) == "there are: a, b"


def test_many_names_are_counted_beyond_the_first_few() -> None:
    assert some_names({"c", "a", "b"}) == "a, b, c"
    assert some_names([str(number) for number in range(1007)], limit=2) == "0, 1 and 1,005 more"
    assert some_names([]) == ""
