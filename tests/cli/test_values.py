from argparse import ArgumentTypeError

import pytest

from cascade.cli.values import budget, budget_shares, count, new_file, number, numbers, seed, share, thread_count


def test_words_become_values(tmp_path):
    assert numbers("0.3,2,9.0") == (0.3, 2.0, 9.0)
    assert budget_shares("50") == {50.0: 1.0}
    assert budget_shares("15:0.3,50:0.7") == {15.0: 0.3, 50.0: 0.7}
    assert (count("3"), budget("0"), share("0.25"), number("-1.5"), seed("7")) == (3, 0.0, 0.25, -1.5, 7)
    assert (thread_count("2"), thread_count("leave")) == (2, "leave")
    assert new_file(str(tmp_path / "a.json")) == tmp_path / "a.json"


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (numbers, "1;2", "numbers separated by commas"),
        (budget_shares, "fast", "such as 50, or with shares 15:0.3,50:0.7, got 'fast'"),
        (budget_shares, "15:0.3,50", "such as 50, or with shares"),
        (budget_shares, "1:2:3", "such as 50, or with shares"),
        (count, "0", "a whole number of at least 1, got '0'"),
        (count, "1.5", "a whole number of at least 1"),
        (budget, "inf", "milliseconds of at least 0"),
        (share, "1", "a share between 0 and 1"),
        (number, "one", "expected a number"),
        (seed, "4294967296", "from 0 to 4294967295"),
        (new_file, "no/such/folder/a.json", "in a folder that exists"),
    ],
)
def test_a_word_that_cannot_be_read_is_an_error_of_usage(read, text, message):
    with pytest.raises(ArgumentTypeError, match=message):
        read(text)
