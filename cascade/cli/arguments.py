"""The commands' arguments, with their help texts. Light: loads nothing but argparse."""

from __future__ import annotations

from argparse import ArgumentParser, HelpFormatter
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

from cascade.cli import help_texts
from cascade.cli.values import budget, budget_shares, count, new_file, number, numbers, seed, share, thread_count


def build_parser() -> ArgumentParser:
    """The parser of the whole command line."""
    parser = ArgumentParser(
        prog="cascade",
        description="Adaptive inference under a latency budget: the most accurate path through your models that fits.",
        epilog=help_texts.ALL,
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"cascade {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_fit(commands)
    _add_profile(commands)
    _add_explain(commands)
    _add_explore(commands)
    _add_certify(commands)
    _add_simulate(commands)
    _add_bench(commands)
    _add_completion(commands)
    return parser


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", "train a ladder of models and show accuracy against latency", help_texts.DEMO)
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
    parser = _command(commands, "fit", "fit a policy on saved model outputs", help_texts.FIT)
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
    parser = _command(commands, "profile", "measure how long stages take on this machine", help_texts.PROFILE)
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
    parser = _command(commands, "explain", "say what a policy does under a budget", help_texts.EXPLAIN)
    parser.add_argument("--policy", type=Path, required=True, metavar="JSON", help="a saved policy")
    parser.add_argument("--budget-ms", type=budget, metavar="MS", help="time allowed (default: no deadline)")
    parser.add_argument("--service", type=Path, metavar="JSON", help="service times of another machine to solve it for")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON instead of text")


def _add_explore(commands: Any) -> None:
    parser = _command(commands, "explore", "write a page to drag budget, load and accuracy on", help_texts.EXPLORE)
    parser.add_argument("--policy", type=Path, metavar="JSON", help="a saved policy")
    parser.add_argument("--outcomes", type=Path, metavar="FILE", help="saved outputs and true labels to replay it over")
    parser.add_argument("--service", type=Path, metavar="JSON", help="service times of another machine to solve it for")
    parser.add_argument("--inputs", type=Path, metavar="NPY", help="the items themselves, one per row, as examples")
    parser.add_argument(
        "--out",
        type=new_file,
        default=Path("explore.html"),
        metavar="HTML",
        help="where the page goes (default: ./explore.html)",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, help="of folds and, of the digits, of the training (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print where the page is, and its size, as JSON")


def _add_certify(commands: Any) -> None:
    parser = _command(commands, "certify", "prove a promise about a policy on fresh data", help_texts.CERTIFY)
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
    parser = _command(commands, "simulate", "predict what users will see under load", help_texts.SIMULATE)
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


def _add_bench(commands: Any) -> None:
    parser = _command(commands, "bench", "measure answers on your stages, and fail if they got worse", help_texts.BENCH)
    parser.add_argument("--stages", required=True, metavar="MODULE:ATTRIBUTE", help="a list of stages to import")
    parser.add_argument("--policy", type=Path, required=True, metavar="JSON", help="a saved policy of these stages")
    parser.add_argument("--data", type=Path, required=True, metavar="NPY", help="inputs, one per row")
    parser.add_argument("--labels", type=Path, metavar="NPY", help="their true labels, to watch the accuracy, too")
    parser.add_argument("--budget-ms", type=budget, metavar="MS", help="time allowed (default: no deadline)")
    parser.add_argument("--rows", type=count, default=200, metavar="N", help="most rows that are used (default: 200)")
    parser.add_argument("--rounds", type=count, default=15, metavar="N", help="answers to each row (default: 15)")
    parser.add_argument("--compare", type=Path, metavar="JSON", help="a baseline: what --out wrote earlier")
    parser.add_argument(
        "--tolerance", type=share, default=0.05, metavar="X", help="share by which times may rise (default: 0.05)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument("--out", type=new_file, metavar="JSON", help="where the measurements go")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of text")


def _add_completion(commands: Any) -> None:
    parser = _command(commands, "completion", "print what lets a shell complete these commands", help_texts.COMPLETION)
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell to print it for")


def _command(commands: Any, name: str, purpose: str, examples: str) -> ArgumentParser:
    parser: ArgumentParser = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=examples,
        formatter_class=_Formatter,
    )
    return parser


class _Formatter(HelpFormatter):
    """Wraps words at the width of the terminal, keeps lines that are indented, and leaves room for the longest command."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for is_kept, group in groupby(text.splitlines(), key=lambda line: not line or line.startswith(" ")):
            part = list(group)
            lines += part if is_kept else wrap(" ".join(part), width, break_on_hyphens=False, break_long_words=False)
        return "\n".join(f"{indent}{line}" for line in lines)


def _version() -> str:
    try:
        return version("cascade-inference")
    except PackageNotFoundError:
        return "(not installed)"
