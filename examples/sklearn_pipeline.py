"""A cascade as the last step of a scikit-learn pipeline, tuned like any other classifier."""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from cascade.integrations.sklearn import CascadeClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)

# From the cheapest to the dearest, with what each takes per row, in any unit. One training set serves for the models
# and for the policy.
ladder = [("linear", LogisticRegression(max_iter=1000)), ("kernel", SVC())]
pipeline = Pipeline(
    [
        ("scale", StandardScaler()),
        ("cascade", CascadeClassifier(ladder, max_accuracy_drop=0.01, service=[1.0, 30.0], random_state=0)),
    ]
)
search = GridSearchCV(pipeline, {"cascade__linear__C": [0.1, 1.0], "cascade__kernel__C": [1.0, 10.0]}, cv=3)
search.fit(X_train, y_train)
print("best", search.best_params_)

cascade = search.best_estimator_.named_steps["cascade"]
X_scaled = search.best_estimator_.named_steps["scale"].transform(X_test)
for name, estimator in cascade.named_estimators_.items():
    print(f"{name:8s} alone: accuracy {estimator.score(X_scaled, y_test):.4f}")
print(f"cascade       : accuracy {search.score(X_test, y_test):.4f}")

# What the policy did with the training rows, each scored by models that had not seen it.
replay = cascade.policy_.replay(cascade.outcomes_)
print(f"out of fold: accuracy {replay.accuracy:.4f} at cost {replay.mean_cost:.2f}, paths {dict(replay.path_counts)}")
print(cascade.policy_.explain())
