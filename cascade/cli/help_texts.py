"""What follows the list of options in the help of each command: what its files hold, and examples."""

from __future__ import annotations

ALL = """\
examples:
  cascade demo --out ./cascade-demo
  cascade fit --data arrays.npz --costs 0.3,2.1,9.0 --out policy.json
  cascade profile --stages my_models:stages --data inputs.npy --out service.json
  cascade explain --policy policy.json --budget-ms 5
  cascade explore --policy policy.json --outcomes fresh.npz --out explore.html
  cascade certify --policy policy.json --data fresh.npz --max-risk 0.01 --out certified.json
  cascade simulate --policy policy.json --outcomes fresh.npz --rate 200 --slo 50
  cascade bench --stages my_models:stages --policy policy.json --data inputs.npy --out baseline.json
  source <(cascade completion bash)

'cascade COMMAND --help' says what a command reads and writes. With --json, stdout holds one JSON value and nothing else.

exit status:
  0    done
  1    a check failed: the data do not prove what 'certify' is to promise, or 'bench' found a figure worse than its baseline
  2    an argument or a file cannot be used; a line on stderr says what was expected, what came and what to do
  130  interrupted
"""

DEMO = """\
examples:
  cascade demo
  cascade demo --out /tmp/demo --seed 3 --json > numbers.json

writes into the folder: curve.png, results.json, policy.json, service.json. Takes a minute or so, most of it for training.
"""

FIT = """\
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

PROFILE = """\
the module is looked for in the current folder first; its attribute is a list of cascade.Stage:
  # my_models.py
  stages = [cascade.Stage(small_net, name="small"), cascade.Stage(big_net, name="big")]

examples:
  cascade profile --stages my_models:stages --data inputs.npy --out service.json
  cascade profile --stages my_models:stages --data inputs.npy --max-batch 8 --threads 2 --out service.json
"""

EXPLAIN = """\
examples:
  cascade explain --policy policy.json --budget-ms 5
  cascade explain --policy policy.json --budget-ms 5 --service other_machine.json --json
"""

EXPLORE = """\
the page is one file that any browser opens without a network. The outcomes are read as 'cascade fit' reads its data; rows that
the policy was fitted on would flatter it, and the page says so. Inputs of shape (n, h, w), or with channels, are shown as
pictures. Without any file it trains the models of 'cascade demo', which takes a minute or so.

examples:
  cascade explore
  cascade explore --policy policy.json --outcomes fresh.npz --out explore.html
  cascade explore --policy policy.json --outcomes fresh.npz --inputs fresh_inputs.npy --out explore.html
"""

CERTIFY = """\
the data must not have been fitted on: set labelled rows aside before 'cascade fit'. They are read as 'cascade fit' reads them.

examples:
  cascade certify --policy policy.json --data fresh.npz --max-risk 0.01 --out certified.json
  cascade certify --policy policy.json --data fresh.csv --risk error --max-risk 0.05 --delta 0.1 --out certified.json
"""

SIMULATE = """\
nothing runs and nothing waits: requests arrive in virtual time, take as long as the service times of the policy say, give or
take the jitter, and are answered as the outcomes say. The outcomes are read as 'cascade fit' reads its data; rows that the
policy was fitted on would flatter it.

examples:
  cascade simulate --policy policy.json --outcomes fresh.npz --rate 200 --slo 50
  cascade simulate --policy policy.json --outcomes fresh.npz --rate 200 --slo 15:0.3,50:0.7 --pattern bursty --lanes 2
  cascade simulate --policy policy.json --outcomes fresh.npz --pattern file --arrivals day.csv --rate 200 --slo 50 --json
"""

BENCH = """\
every row is answered in every round, one at a time. Rows are paired with those of the baseline; rows and rounds are drawn again (bootstrap) to
see what chance leaves open, and a figure fails only if all of that, but for 1 in 100, is beyond the tolerance. Times are multiples of a fixed piece of
work that is measured beside them, so that a machine that is slower altogether is no regression; another machine can still make a difference, and
a line on stderr says so. The policy's own service times decide, so that both runs decide alike.

examples:
  cascade bench --stages my_models:stages --policy policy.json --data inputs.npy --out baseline.json
  cascade bench --stages my_models:stages --policy policy.json --data inputs.npy --compare baseline.json --tolerance 0.1
"""

COMPLETION = """\
examples:
  source <(cascade completion bash)
  cascade completion bash > ~/.local/share/bash-completion/completions/cascade
  cascade completion zsh > ~/.zfunc/_cascade
  cascade completion tcsh > ~/.cascade.tcsh

for zsh the folder must be on $fpath; in tcsh, source the file. Needs the extra 'completion'.
"""
