from tailornas.data import SAMPLERS
from tailornas.heads import HEADS
from tailornas.losses import LOSSES, SCHEDULES, WEIGHTINGS
from tailornas.report.glossary import METHODS, TERMS, explained
from tailornas.training import SecondStageConfig, TrainConfig


def test_only_what_occurs_is_explained_whatever_its_case() -> None:
    texts = [
        "Macro F1",
        "the traced networks recall 3",
        "71.3%\N{NO-BREAK SPACE}\N{PLUS-MINUS SIGN}\N{NO-BREAK SPACE}1.1",
    ]
    assert list(explained(texts, ["ldam + drw", "cross_entropy + effective:0.99 weights"])) == [
        "recall",
        "\N{PLUS-MINUS SIGN}",
        "macro F1",
        "cross_entropy",
        "ldam",
        "effective weights",
        "drw",
    ]


def test_every_part_of_every_title_is_explained() -> None:
    named = {*LOSSES, *HEADS, *SAMPLERS, *SCHEDULES} - {"instance", "none"}
    named |= {f"{name} weights" for name in WEIGHTINGS} | {"mixup", "remix", "two branches", "own weights"}
    second = SecondStageConfig.model_json_schema()["properties"]["name"]["enum"]
    assert named | set(second) - {"none"} <= METHODS.keys()
    titles = [
        TrainConfig(loss="ce", class_weights=(1.0, 2.0), sampler="progressive", head="etf").title,
        TrainConfig(loss="ce", two_branch=True).title,
    ]
    for title in titles:
        assert explained([], [title]).keys() == set(title.split(" + ")), title


def test_every_row_of_a_summary_that_a_reader_may_not_know_is_a_term() -> None:
    rows = [
        "MACs",
        "Latency",
        "Balanced accuracy",
        "Top-1 accuracy",
        "Many-shot (3 classes)",
        "Worst class",
        "Macro F1",
    ]
    for row in [
        *rows,
        "Harmonic mean",
        "Geometric mean",
        "AUROC",
        "ECE",
        "starts from scratch",
        "95% Wilson intervals",
    ]:
        assert set(explained([row], [])) & TERMS.keys(), row
