import json

from cascade.simulation.settings import Setting, Tried, Tuning

NAN = float("nan")
ONE, TWO = Setting(1, 8, 0.8), Setting(2, 32, 0.9)


def tried(setting, attains, p99_ms=12.0):
    return Tried(setting, 0.81, 0.995, 0.999, p99_ms, 0.5, attains=attains, behind=0.0123, behind_error=0.004)


def test_the_text_names_the_chosen_setting_as_it_is_typed():
    text = str(Tuning(ONE, 0.99, (tried(ONE, True), tried(TWO, False))))
    assert text.startswith("n_lanes=1, max_batch=8, headroom=0.8\n")
    first, second = text.splitlines()[-2:]
    assert first.split() == [
        "1",
        "8",
        "0.8",
        "81.00",
        "%",
        "1.23",
        "±",
        "0.40",
        "99.50",
        "%",
        "99.90",
        "%",
        *["12", "ms", "50", "%", "chosen"],
    ]
    assert second.endswith("too few in time")


def test_the_text_says_when_no_setting_attains_enough():
    tuning = Tuning(TWO, 0.999, (tried(TWO, False),))
    assert not tuning.attains
    assert "none answers 99.90 % in time" in str(tuning)


def test_the_knobs_are_attributes():
    tuning = Tuning(TWO, 0.99, (tried(TWO, True),))
    assert (tuning.n_lanes, tuning.max_batch, tuning.headroom, tuning.attains) == (2, 32, 0.9, True)


def test_the_dictionary_is_json():
    tuning = Tuning(TWO, 0.99, (tried(ONE, True), tried(TWO, False, NAN)))
    data = json.loads(json.dumps(tuning.to_dict(), allow_nan=False))
    assert (data["n_lanes"], data["max_batch"], data["headroom"], data["attains"]) == (2, 32, 0.9, False)
    assert [row["p99_ms"] for row in data["tried"]] == [12.0, None]
    assert data["tried"][0]["n_lanes"] == 1
