"""Mutants: small changes to the core, each of which some test has to notice.

Owns: the command line of `make mutants`.
Never: a change to the work tree but of the record of the last run (tests/mutants/) and the page made from it.
Reads as: `make mutants MODULES="turns task_guards"` -> this -> mutation/trials.py -> mutation/record.py.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cattrs  # noqa: F401 - loaded here so that a mutant that needs an import of the core needs one of that alone
import hypothesis
import hypothesis.strategies
import transitions  # noqa: F401

from mutation.covering import covering_of
from mutation.record import keep, later, result_of, results, unargued
from mutation.sites import Site, sites_of, words_of
from mutation.tree import REPOSITORY, Tree
from mutation.trials import Trial, Trials, Verdict

KEPT = REPOSITORY / ".tools/mutants"


def main(argv: Sequence[str]) -> int:
    """Try the mutants that were asked for; 1 when one survived that nobody argued for."""
    asked = _parser().parse_args(argv)
    # What a failing example shrinks to is nothing to wait for here.
    hypothesis.settings.register_profile(
        "mutants", database=None, deadline=None, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
    )
    hypothesis.settings.load_profile("mutants")
    with tempfile.TemporaryDirectory(prefix="taskdock-mutants-") as folder:
        tree = Tree.make(Path(folder), is_broad=asked.broad)
        sites = _chosen(tree, asked)
        if asked.again:
            # Whoever was noticed once is noticed still, as long as only tests were added.
            again = set(unargued(results()))
            sites = [site for site in sites if site.name in again]
        print(f"{len(sites)} mutants", flush=True)
        covering = covering_of(tree, KEPT)
        began = time.monotonic()
        trials = Trials(tree, covering, _report, jobs=asked.jobs).run(sites)
        print(f"{time.monotonic() - began:.0f} s")
    found = {
        module: result_of(trial for trial in trials if trial.site.module == module)
        for module in dict.fromkeys(site.module for site in sites)
    }
    if asked.again:
        found = {module: later(results()[module], one) for module, one in found.items()}
    for module, one in found.items():
        print(f"{module}: {one.mutants} mutants, {one.killed} killed ({one.timeouts} by time)")
    if not asked.sample:
        keep(found)
    left = unargued(found)
    print(*(["Survived, and not argued for:"] if left else []), *left, sep="\n")
    return 1 if left else 0


def _report(trial: Trial) -> None:
    if trial.verdict is not Verdict.KILLED:
        print(trial.verdict.value, trial.site.name, flush=True)


def _chosen(tree: Tree, asked: argparse.Namespace) -> list[Site]:
    sources = tree.modules()
    words = words_of(sources.values())
    names = asked.modules or list(sources)
    sites = [site for name in names for site in sites_of(name, sources[name], words)]
    return sites[:: max(1, len(sites) // asked.sample)] if asked.sample else sites


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make mutants", description="Try mutants of the core.")
    parser.add_argument("modules", nargs="*", help="modules of taskdock.core; all by default")
    parser.add_argument("--sample", type=int, default=0, help="about this many, spread evenly")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument(
        "--broad", action="store_true", help="survivors meet the product and the walks as well"
    )
    parser.add_argument(
        "--again", action="store_true", help="only survivors of the last run that are not argued for"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
