"""Searches for a model of diabetes with scikit-learn, on the workers of Lineshaft.

    python examples/python/model_selection.py [--jobs 2] [--plot model_selection.png]

The data are those of 442 patients that come with scikit-learn: ten measurements each, and how far the disease had gone
a year later. Nothing is missing in them, so a tenth of three measurements is taken out here, by chance, as if it had
not been taken. Sex is a category in them; age is made one as well, in classes of ten years.

A quarter of the patients is set aside before anything else and used once, at the end. Imputation, encoding and scaling
are parts of the pipeline, so in each fold they learn from its training part alone. What the models have to beat is the
mean of the training patients.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from matplotlib.figure import Figure
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVR

import lineshaft

SEED = 7
AGE, SEX, BMI, PRESSURE, SUGAR = 0, 1, 2, 3, 9
CATEGORIES = [AGE, SEX]
NUMBERS = [BMI, PRESSURE, 4, 5, 6, 7, 8, SUGAR]


def patients() -> tuple[Any, Any]:
    """Measurements, some of them missing (NaN), and the progression of the disease."""
    features, progression = load_diabetes(return_X_y=True, scaled=False)
    features[:, AGE] //= 10
    chance = np.random.default_rng(SEED)
    for column in (BMI, PRESSURE, SUGAR):
        features[chance.random(len(features)) < 0.1, column] = np.nan
    return features, progression


def pipeline() -> Pipeline:
    """From measurements to a forecast; the search puts the models in."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    columns = [("numbers", numbers, NUMBERS), ("categories", OneHotEncoder(handle_unknown="ignore"), CATEGORIES)]
    return Pipeline([("prepare", ColumnTransformer(columns)), ("model", Ridge())])


def choices() -> list[dict[str, list[Any]]]:
    """What the search tries."""
    imputation = {"prepare__numbers__simpleimputer__strategy": ["mean", "median"]}
    return [
        {"model": [Ridge()], "model__alpha": [0.1, 1.0, 10.0, 100.0], **imputation},
        {"model": [SVR(kernel="rbf")], "model__C": [10.0, 100.0, 1000.0], "model__gamma": [0.01, 0.03], **imputation},
        {"model": [RandomForestRegressor(20, random_state=SEED)], "model__min_samples_leaf": [5, 15]},
    ]


def search(features: Any, progression: Any, jobs: int) -> GridSearchCV:
    """Fits every choice to four fifths of the patients and judges it by the last fifth, five times."""
    folds = KFold(5, shuffle=True, random_state=SEED)
    found = GridSearchCV(pipeline(), choices(), cv=folds, scoring="r2")
    lineshaft.register_joblib()
    with joblib.parallel_config("lineshaft", n_jobs=jobs):
        return found.fit(features, progression)


def best_of_each(found: GridSearchCV) -> list[tuple[str, float, float]]:
    """The best score of each kind of model in cross-validation, with its deviation from fold to fold."""
    best: dict[str, tuple[str, float, float]] = {}
    results = found.cv_results_
    for settings, mean, deviation in zip(
        results["params"], results["mean_test_score"], results["std_test_score"], strict=True
    ):
        name = type(settings["model"]).__name__
        if name not in best or mean > best[name][1]:
            best[name] = name, float(mean), float(deviation)
    return sorted(best.values(), key=lambda row: -row[1])


def plot(path: Path, measured: Any, forecast: Any, rows: list[tuple[str, float, float]]) -> None:
    """Scores of the search on the left, the patients set aside on the right."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    names, means, deviations = zip(*rows, strict=True)
    left.barh(names, means, xerr=deviations, color="tab:blue", height=0.5)
    left.set(xlabel="R² in cross-validation", title="Models")
    left.invert_yaxis()
    limits = [float(measured.min()), float(measured.max())]
    right.plot(limits, limits, color="grey", linewidth=1)
    right.scatter(measured, forecast, s=14, alpha=0.7)
    right.set(xlabel="progression, measured", ylabel="progression, forecast", title="Patients set aside")
    figure.savefig(path, dpi=110)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="worker processes (default 2)")
    parser.add_argument("--plot", type=Path, default=Path("model_selection.png"))
    options = parser.parse_args(words)

    features, progression = patients()
    learn, keep, progression_learn, progression_keep = train_test_split(
        features, progression, test_size=0.25, random_state=SEED
    )
    baseline = DummyRegressor().fit(learn, progression_learn)
    found = search(learn, progression_learn, options.jobs)

    rows = best_of_each(found)
    print(f"{len(learn)} patients to learn from, {len(keep)} set aside, {np.isnan(features).sum()} values missing")
    print(f"{len(found.cv_results_['params'])} choices, 5 fits each\n")
    print(f"{'best of each model':24}{'R2':>8}{'+-':>8}")
    for name, mean, deviation in rows:
        print(f"{name:24}{mean:8.3f}{deviation:8.3f}")
    print(f"\n{'patients set aside':24}{'R2':>8}{'MAE':>8}")
    best = type(found.best_estimator_.named_steps["model"]).__name__
    forecasts = {"mean": baseline.predict(keep), best: found.predict(keep)}
    for name, forecast in forecasts.items():
        error = mean_absolute_error(progression_keep, forecast)
        print(f"{name:24}{r2_score(progression_keep, forecast):8.3f}{error:8.1f}")
    plot(options.plot, progression_keep, forecasts[best], rows)
    print(f"\n{options.plot}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
