from tailornas.runs.pace import Pace, duration


def test_nothing_is_known_at_first() -> None:
    assert Pace(0.0).figures(5.0) == []
    assert Pace(0.0).result() == []


def test_rate_and_time_left_by_hand() -> None:
    pace = Pace(0.0)
    pace.update(10.0, 100, 1200, "steps", {"epoch": "1/12"})
    assert pace.figures(10.0) == ["100/1,200 steps", "epoch 1/12"]
    # 100 steps in 20 s are 5 a second; 1000 more take 200 s, of which 60 s are gone a minute later.
    pace.update(30.0, 200, 1200, "steps", {"epoch": "2/12"})
    assert pace.figures(30.0) == ["200/1,200 steps", "5.0 steps/s", "0:03:20 left", "epoch 2/12"]
    assert pace.figures(90.0) == ["200/1,200 steps", "5.0 steps/s", "0:02:20 left", "epoch 2/12"]
    assert pace.figures(900.0)[2] == "0:00:00 left"
    assert pace.result() == ["200/1,200 steps", "epoch 2/12"]


def test_what_a_resumed_stage_repeats_is_forgotten() -> None:
    pace = Pace(0.0)
    pace.update(0.0, 0, 10_000, "candidates", {})
    pace.update(1.0, 5000, 10_000, "candidates", {})
    for second in range(2, 40):
        pace.update(float(second), 5000 + 10 * (second - 1), 10_000, "candidates", {})
    assert pace.figures(39.0)[1] == "10.0 candidates/s"


def test_slow_units_have_a_rate() -> None:
    pace = Pace(0.0)
    pace.update(0.0, 0, 4, "epochs", {})
    pace.update(100.0, 1, 4, "epochs", {})
    pace.update(300.0, 2, 4, "epochs", {})
    assert pace.figures(300.0)[1:] == ["0.005 epochs/s", "0:06:40 left"]


def test_fast_rates_have_no_fraction() -> None:
    pace = Pace(0.0)
    pace.update(0.0, 0, 4000, "steps", {})
    pace.update(1.0, 2000, 4000, "steps", {})
    assert pace.figures(1.0)[1] == "2,000 steps/s"


def test_a_stage_that_stands_still_has_no_rate() -> None:
    pace = Pace(0.0)
    pace.update(0.0, 3, 4, "epochs", {})
    pace.update(9.0, 3, 4, "epochs", {})
    assert pace.figures(9.0) == ["3/4 epochs"]


def test_figures_that_a_report_leaves_out_stay() -> None:
    pace = Pace(0.0)
    pace.update(0.0, 1, 4, "steps", {"epoch": 1, "loss": 2.34567})
    pace.update(1.0, 2, 4, "steps", {"epoch": 2})
    assert pace.result() == ["2/4 steps", "epoch 2", "loss 2.346"]


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.6, 724, 90_061)] == [
        "0:00:00",
        "0:01:00",
        "0:12:04",
        "1 day, 1:01:01",
    ]
