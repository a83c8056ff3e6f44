import polars as pl
import pytest

from baez_pipeline.experiment import Tiers
from baez_pipeline.tiers.arad import AradScores
from baez_pipeline.tiers.validation_tables import rendered
from baez_pipeline_tests.tiers.made_up import scored

CLEAR = {"r": 0.6, "r_low": 0.5, "shifted_p": 0.001, "shifted_z": 9.0}


@pytest.fixture(scope="module")
def tables():
    """The lines of each table by its heading."""
    inputs = [scored(f"i{number}", input=CLEAR) for number in range(3)]
    randoms = [scored("r0"), scored("r1", output=CLEAR), scored("r2", input={"n_windows": 2})]
    real = [scored(f"s{number}", input={"r": number / 10}, output={"r": -number / 10}) for number in range(5)]
    classes = {f"i{n}": "input token" for n in range(3)} | {f"r{n}": "random" for n in range(3)}
    classes |= {f"s{n}": "real" for n in range(5)}
    arad = {f"s{n}": AradScores(input=n / 5, output=n / 7) for n in range(5)}
    text = rendered(pl.concat([*inputs, *randoms, *real]), classes, arad, Tiers())
    return {part.split("\n")[0]: part.split("\n")[2:] for part in text.split("### ")[1:]}


def test_classes_are_counted_by_outcome_and_what_is_right(tables):
    columns, _, inputs, randoms = tables["Confusion, mode calibrated"][:4]
    assert columns == "| class | tier 1, input | tier 1, output | tier 2 | tier 3 | undetermined | right |"
    assert inputs == "| input token | 3 | 0 | 0 | 0 | 0 | 3 of 3: 100% (44% to 100%) |"
    assert randoms == "| random | 0 | 1 | 0 | 1 | 1 | 1 of 3: 33% (6% to 79%) |"


def test_real_features_are_neither_right_nor_wrong(tables):
    assert tables["Real features"][2] == "| real | 0 | 0 | 0 | 5 | 0 |  |"


def test_random_features_are_counted_against_every_null_they_have(tables):
    found = tables["p-values of random features"][2:]
    assert "| output | shifted | yes | 1 of 3: 33% (6% to 79%) | 0 of 3: 0% (0% to 56%) |" in found
    assert [line.split("|")[1:4] for line in found if line] == [
        [" input ", " shifted ", " yes "],
        [" output ", " shifted ", " yes "],
        [" cross ", " random ", " yes "],
        [" cross ", " others ", " yes "],
    ]


def test_mode_article_takes_the_tau_that_is_best_in_hindsight(tables):
    # All of the inputs and one of three random features are right from above .1 to .6; the first such tau is taken.
    said = tables["Confusion, mode article, with the tau that is best in hindsight"][0]
    assert said.startswith("tau = 0.15 (of 0.05 to 0.95); mean share right over classes 0.67.")


def test_agreement_is_spearmans_over_real_features(tables):
    found = tables["Agreement with Arad et al."]
    assert any(line.startswith("| input score | input r | 5 | 1.00 (") for line in found)
    assert any(line.startswith("| output score | output r | 5 | -1.00 (") for line in found)
    assert "| input score | input shifted_z | 5 | one side is constant |" in found
