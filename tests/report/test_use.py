from collections.abc import Callable

import pytest

from tailornas.report import Report, Verdict
from tailornas.report.use import advice, preparation


@pytest.mark.parametrize(
    ("outcome", "macs", "words"),
    [
        ("found", 3, "Take the found network"),
        ("baseline", 1, "Take the baseline resnet20"),
        ("noise", 1_000_000, "the one that is cheaper for you: the found network has 1 M MACs."),
        ("noise", 90_000_000, "the baseline resnet20 has 40.8 M MACs."),
        ("noise", 40_813_184, "take either."),
    ],
)
def test_the_better_network_is_to_be_taken_and_the_cheaper_one_where_neither_is_known_to_be_better(
    reports: Callable[..., Report], outcome: str, macs: int, words: str
) -> None:
    report = reports(["a", "b"])
    report.found["macs"], report.found["params"] = macs, report.baseline["params"]
    judged = Verdict(outcome, "", "")  # type: ignore[arg-type]
    assert words in advice(judged, report.found, report.baseline).replace("\N{NO-BREAK SPACE}", " ")


def test_of_equal_arithmetic_parameters_decide(reports: Callable[..., Report]) -> None:
    report = reports(["a", "b"])
    report.found["macs"], report.found["params"] = report.baseline["macs"], 1000
    said = advice(Verdict("noise", "", ""), report.found, report.baseline)
    assert said.replace("\N{NO-BREAK SPACE}", " ").endswith("the found network has 1 k parameters.")


def test_what_becomes_of_an_image_is_said_with_its_numbers(reports: Callable[..., Report]) -> None:
    data = reports(["a", "b"]).data
    assert preparation(data) == (
        "RGB, 32 by 32 pixels, scaled to between 0 and 1; then by channel less 0.4914, 0.4822, 0.4465, divided by "
        "0.2470, 0.2435, 0.2616"
    )
