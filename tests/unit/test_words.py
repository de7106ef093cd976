"""Numbers are printed as a reader expects them."""

import math

import pytest

from vicinal.words import YEAR, count, duration, hours, number, ranges, size


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (duration(0.2), "1 s"),
        (duration(61), "61 s"),
        (duration(600), "10 min"),
        (duration(5400), "90 min"),
        (duration(9000), "2.5 h"),
        (duration(450_000), "125 h"),
        (duration(82.6 * YEAR), "83 years"),
        (duration(60 * 86_400), "60 days"),
        (hours(0.0001), "0"),
        (hours(1_447_475), "1,447,475"),
        (size(999), "999 B"),
        (size(2_500_000), "2 MB"),
        (size(3.26e9), "3.3 GB"),
        (size(2e12), "2.0 TB"),
        (count(1, "file"), "1 file"),
        (count(0, "file"), "0 files"),
        (count(2000, "file"), "2,000 files"),
        (ranges([0, 1]), "0, 1"),
        (ranges(range(10)), "0 to 9"),
        (ranges([3, 5, 6, 7, 9, 8]), "3, 5 to 7, 9, 8"),
        (number(-0.5), "−0.5"),
        (number(math.nan), ""),
        (number(None), ""),
        (number(0.00001234), "1.23e−05"),
        (number(0.125, "+.1%"), "+12.5%"),
    ],
)
def test_numbers_are_printed_for_readers(shown, expected):
    assert shown == expected
