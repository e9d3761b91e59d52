"""The commands' arguments, with their help texts and examples. Light: loads nothing but argparse."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cascade.cli.values import budget, budget_shares, count, new_file, number, numbers, seed, share, thread_count

_EXAMPLES = """\
examples:
  cascade demo --out ./cascade-demo
  cascade fit --data arrays.npz --costs 0.3,2.1,9.0 --out policy.json
  cascade profile --stages my_models:stages --data inputs.npy --out service.json
  cascade explain --policy policy.json --budget-ms 5
  cascade certify --policy policy.json --data fresh.npz --max-risk 0.01 --out certified.json
  cascade simulate --policy policy.json --outcomes fresh.npz --rate 200 --slo 50

'cascade COMMAND --help' says what a command reads and writes.
"""

_DEMO_EXAMPLES = """\
examples:
  cascade demo
  cascade demo --out /tmp/demo --seed 3 --json > numbers.json

writes into the folder: curve.png, results.json, policy.json, service.json. Takes a minute or so, most of it for training.
"""

_FIT_EXAMPLES = """\
an npz file holds what cascade.Outcomes.save wrote, or the arrays
  labels                     (n,)       the true labels
  probs                      (n, K, c)  class probabilities of K models, or instead of them
  predictions, confidence    (n, K)     the label each model chose, and how sure it was, in [0, 1]
  stages, classes            (K,), (c,) optional: the models' names; the labels of the columns of probs

a CSV file, its name ending in .csv, holds a row for each item under the columns
  label                                 the true label
  NAME_label, NAME_confidence           for every model NAME: the label it chose, and how sure it was, in [0, 1]

examples:
  cascade fit --data arrays.npz --costs 0.3,2.1,9.0 --out policy.json
  cascade fit --data answers.csv --costs 0.3,2.1,9.0 --out policy.json
  cascade fit --data arrays.npz --service service.json --max-accuracy-drop 0.002 --out policy.json
"""

_PROFILE_EXAMPLES = """\
the module is looked for in the current folder first; its attribute is a list of cascade.Stage:
  # my_models.py
  stages = [cascade.Stage(small_net, name="small"), cascade.Stage(big_net, name="big")]

examples:
  cascade profile --stages my_models:stages --data inputs.npy --out service.json
  cascade profile --stages my_models:stages --data inputs.npy --max-batch 8 --threads 2 --out service.json
"""

_EXPLAIN_EXAMPLES = """\
examples:
  cascade explain --policy policy.json --budget-ms 5
  cascade explain --policy policy.json --budget-ms 5 --service other_machine.json --json
"""

_CERTIFY_EXAMPLES = """\
the data must not have been fitted on: set labelled rows aside before 'cascade fit'. They are read as 'cascade fit' reads them.

examples:
  cascade certify --policy policy.json --data fresh.npz --max-risk 0.01 --out certified.json
  cascade certify --policy policy.json --data fresh.csv --risk error --max-risk 0.05 --delta 0.1 --out certified.json
"""

_SIMULATE_EXAMPLES = """\
nothing runs and nothing waits: requests arrive in virtual time, take as long as the service times of the policy say, give or
take the jitter, and are answered as the outcomes say. The outcomes are read as 'cascade fit' reads its data; rows that the
policy was fitted on would flatter it.

examples:
  cascade simulate --policy policy.json --outcomes fresh.npz --rate 200 --slo 50
  cascade simulate --policy policy.json --outcomes fresh.npz --rate 200 --slo 15:0.3,50:0.7 --pattern bursty --lanes 2
  cascade simulate --policy policy.json --outcomes fresh.npz --pattern file --arrivals day.csv --rate 200 --slo 50 --json
"""


def build_parser() -> ArgumentParser:
    """The parser of the whole command line."""
    parser = ArgumentParser(
        prog="cascade",
        description="Adaptive inference under a latency budget: the most accurate path through your models that fits.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cascade {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_fit(commands)
    _add_profile(commands)
    _add_explain(commands)
    _add_certify(commands)
    _add_simulate(commands)
    return parser


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", "train a ladder of models and show accuracy against latency", _DEMO_EXAMPLES)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("cascade-demo"),
        metavar="DIR",
        help="where the files go (default: ./cascade-demo)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the split, the training and the policy (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON instead of tables")


def _add_fit(commands: Any) -> None:
    parser = _command(commands, "fit", "fit a policy on saved model outputs", _FIT_EXAMPLES)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="npz or CSV: what the models said, and the labels"
    )
    parser.add_argument("--costs", type=numbers, metavar="A,B,...", help="cost per item of each model, in any unit")
    parser.add_argument(
        "--service",
        type=Path,
        metavar="JSON",
        help="measured times ('cascade profile'); else the costs serve as milliseconds",
    )
    parser.add_argument(
        "--max-accuracy-drop",
        type=float,
        metavar="X",
        help="accuracy in [0, 1] to give up for time (default: one standard error, at most 0.005)",
    )
    parser.add_argument(
        "--held-out",
        type=share,
        default=0.25,
        metavar="SHARE",
        help="share of the rows kept back to report on (default: 0.25)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the split and the folds (default: 0)")
    parser.add_argument("--out", type=new_file, required=True, metavar="JSON", help="where the policy goes")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of tables")


def _add_profile(commands: Any) -> None:
    parser = _command(commands, "profile", "measure how long stages take on this machine", _PROFILE_EXAMPLES)
    parser.add_argument("--stages", required=True, metavar="MODULE:ATTRIBUTE", help="a list of stages to import")
    parser.add_argument("--data", type=Path, required=True, metavar="NPY", help="sample inputs, one per row")
    parser.add_argument("--max-batch", type=int, default=32, metavar="N", help="largest batch size (default: 32)")
    parser.add_argument(
        "--threads",
        type=thread_count,
        default=1,
        metavar="N",
        help="threads per run, or 'leave' as they are (default: 1)",
    )
    parser.add_argument("--out", type=new_file, required=True, metavar="JSON", help="where the service times go")
    parser.add_argument("--json", action="store_true", help="print the service times as JSON instead of a table")


def _add_explain(commands: Any) -> None:
    parser = _command(commands, "explain", "say what a policy does under a budget", _EXPLAIN_EXAMPLES)
    parser.add_argument("--policy", type=Path, required=True, metavar="JSON", help="a saved policy")
    parser.add_argument("--budget-ms", type=budget, metavar="MS", help="time allowed (default: no deadline)")
    parser.add_argument("--service", type=Path, metavar="JSON", help="service times of another machine to solve it for")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON instead of text")


def _add_certify(commands: Any) -> None:
    parser = _command(commands, "certify", "prove a promise about a policy on fresh data", _CERTIFY_EXAMPLES)
    parser.add_argument("--policy", type=Path, required=True, metavar="JSON", help="a saved policy")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="saved outputs and true labels")
    parser.add_argument(
        "--max-risk", type=share, required=True, metavar="X", help="the bound on the risk, such as 0.01"
    )
    parser.add_argument(
        "--delta", type=share, default=0.05, metavar="X", help="probability that it does not hold (default: 0.05)"
    )
    parser.add_argument(
        "--risk",
        choices=("error", "lost", "drop", "selective"),
        default="drop",
        help="what is bounded (default: drop, the accuracy lost against the reference)",
    )
    parser.add_argument("--reference", metavar="STAGE", help="compare with a stage (default: the most accurate path)")
    parser.add_argument("--min-budget-ms", type=budget, metavar="MS", help="least budget that is covered")
    parser.add_argument("--abstain-below", type=number, metavar="X", help="with --risk selective: no label below it")
    parser.add_argument("--out", type=new_file, required=True, metavar="JSON", help="where the certified policy goes")
    parser.add_argument("--json", action="store_true", help="print the guarantee as JSON instead of text")


def _add_simulate(commands: Any) -> None:
    parser = _command(commands, "simulate", "predict what users will see under load", _SIMULATE_EXAMPLES)
    parser.add_argument("--policy", type=Path, required=True, metavar="JSON", help="a saved policy")
    parser.add_argument("--outcomes", type=Path, required=True, metavar="FILE", help="saved outputs and true labels")
    parser.add_argument(
        "--slo", type=budget_shares, required=True, metavar="MS", help="time allowed, or MS:SHARE,MS:SHARE,..."
    )
    parser.add_argument("--rate", type=number, metavar="RPS", help="mean number of requests per second")
    parser.add_argument(
        "--pattern",
        choices=("poisson", "bursty", "diurnal", "file"),
        default="poisson",
        help="how requests arrive (default: poisson)",
    )
    parser.add_argument(
        "--arrivals", type=Path, metavar="FILE", help="npy, npz or CSV: instants for --pattern file, in ms"
    )
    parser.add_argument("--duration-ms", type=number, metavar="MS", help="how long (default: 60000; a file: all of it)")
    parser.add_argument("--service", type=Path, metavar="JSON", help="service times of another machine to solve it for")
    parser.add_argument("--lanes", type=count, default=1, metavar="N", help="lanes side by side (default: 1)")
    parser.add_argument("--max-batch", type=count, default=32, metavar="N", help="largest batch size (default: 32)")
    parser.add_argument(
        "--headroom", type=number, default=0.8, metavar="X", help="share of the time that is planned (default: 0.8)"
    )
    parser.add_argument(
        "--jitter", type=number, default=0.05, metavar="X", help="how far times scatter (default: 0.05)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the arrivals and the service times (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")


def _command(commands: Any, name: str, purpose: str, examples: str) -> ArgumentParser:
    parser: ArgumentParser = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=examples,
        formatter_class=RawDescriptionHelpFormatter,
    )
    return parser


def _version() -> str:
    try:
        return version("cascade-inference")
    except PackageNotFoundError:
        return "(not installed)"
