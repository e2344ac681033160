"""Record: what the last run of each module found, and what is argued of each mutant that survives.

Owns: tests/mutants/results.json, and docs/mutation.md made from it and from tests/mutants/survivors.toml.
Never: an argument; those are written by hand, and one whose mutant is not there any more fails tests/docs.
Reads as: tools/mutants.py -> `keep` and `write_page`; tests/docs/test_mutation.py compares.
"""

import json
import textwrap
import tomllib
from collections.abc import Iterable, Mapping

from attrs import asdict, frozen

from mutation.sites import sites_of, words_of
from mutation.tree import CORE, REPOSITORY
from mutation.trials import Trial, Verdict

RESULTS = REPOSITORY / "tests/mutants/results.json"
ARGUED = REPOSITORY / "tests/mutants/survivors.toml"
PAGE = REPOSITORY / "docs/mutation.md"
TARGET = 0.95
_COLUMNS = 110

_HEAD = """\
# Mutation testing

A mutant is the core with one small thing changed: a comparison turned round, an argument left away, a row without its
guard. `make mutants` makes each of them in memory, one after the other, and runs the tests of the core that run what was
changed. A mutant that no test notices *survives*: either a test is missing, or the code says more than it must.

```sh
make mutants MODULES="turns task_guards"  # some modules; all without, which takes an hour of one processor
make mutants MODULES=tab SAMPLE=30        # about thirty, spread evenly; nothing is written down
make mutants MODULES=tab BROAD=1          # the survivors also meet the product and the walks, which take long
```

What is changed, and what is left out: `tools/mutation/operators.py` and `tools/mutation/sites.py`. Texts of several words
are for people and are left out; texts of one word are data (a status, a lane, a key) and count. Assertions are left out.
`tools/mutation/tree.py` names the tests that do not take part, and why. Without `BROAD` only tests count that ask for a
certain answer. A test that does not end notices its mutant, too.

This page is written by `make mutants` from the last run of each module; the arguments stand in
`tests/mutants/survivors.toml`.
"""


@frozen
class Result:
    """What a whole run of one module found."""

    mutants: int
    timeouts: int
    survived: tuple[str, ...]

    @property
    def killed(self) -> int:
        """How many were noticed, by a failure or by not ending."""
        return self.mutants - len(self.survived)


@frozen
class Argument:
    """Why some mutants may survive."""

    mutants: tuple[str, ...]
    why: str


def arguments() -> list[Argument]:
    """What was argued by hand."""
    document = tomllib.loads(ARGUED.read_text())
    return [Argument(tuple(one["mutants"]), one["why"]) for one in document.get("argued", [])]


def results() -> dict[str, Result]:
    """What is written down of each module."""
    document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return {
        name: Result(one["mutants"], one["timeouts"], tuple(one["survived"]))
        for name, one in document.items()
    }


def result_of(trials: Iterable[Trial]) -> Result:
    """What the trials of one module come to."""
    of = list(trials)
    survived = tuple(trial.site.name for trial in of if trial.verdict is Verdict.SURVIVED)
    return Result(len(of), sum(trial.verdict is Verdict.TIMEOUT for trial in of), survived)


def later(before: Result, again: Result) -> Result:
    """What a run of the survivors that nobody argued for leaves of the result before."""
    tried = set(unargued({"": before}))
    survived = tuple(name for name in before.survived if name not in tried or name in again.survived)
    return Result(before.mutants, before.timeouts + again.timeouts, survived)


def unargued(found: Mapping[str, Result]) -> list[str]:
    """The survivors that nobody argued for."""
    argued = {name for argument in arguments() for name in argument.mutants}
    return [name for result in found.values() for name in result.survived if name not in argued]


def keep(found: Mapping[str, Result]) -> None:
    """Write these modules down beside the others, and the page anew."""
    RESULTS.parent.mkdir(exist_ok=True)
    together = dict(sorted((results() | dict(found)).items()))
    RESULTS.write_text(json.dumps({name: asdict(one) for name, one in together.items()}, indent=1) + "\n")
    PAGE.write_text(page())


def page() -> str:
    """The page as it must be."""
    found = results()
    return "\n".join([_HEAD, *_table(found), *_left_to_run(found), "", *_survivors(found)]) + "\n"


def _table(found: Mapping[str, Result]) -> list[str]:
    lines = [
        "| module | mutants | killed | of these by time | survived | argued | rate |",
        "|---|---|---|---|---|---|---|",
    ]
    left = set(unargued(found))
    together = Result(
        sum(one.mutants for one in found.values()),
        sum(one.timeouts for one in found.values()),
        tuple(name for one in found.values() for name in one.survived),
    )
    for name, one in [*((f"`{name}`", one) for name, one in found.items()), ("together", together)]:
        argued = sum(name not in left for name in one.survived)
        rate = f"{100 * one.killed / one.mutants:.1f} %" if one.mutants else ""
        cells = [name, one.mutants, one.killed, one.timeouts, len(one.survived), argued, rate]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _left_to_run(found: Mapping[str, Result]) -> list[str]:
    """The modules that were never run as a whole, with the number of their mutants."""
    sources = {path.stem: path.read_text() for path in sorted((REPOSITORY / CORE).glob("*.py"))}
    words = words_of(sources.values())
    counts = {
        name: len(sites_of(name, source, words)) for name, source in sources.items() if name not in found
    }
    left = [f"`{name}` ({count})" for name, count in counts.items() if count]
    return ["", *textwrap.wrap(f"Not run as a whole yet: {', '.join(left)}.", _COLUMNS)] if left else []


def _survivors(found: Mapping[str, Result]) -> list[str]:
    survived = {name for one in found.values() for name in one.survived}
    lines = ["## Survivors", ""]
    for argument in arguments():
        names = [name for name in argument.mutants if name in survived]
        if names:
            lines += [*textwrap.wrap(argument.why, _COLUMNS), "", "```text", *names, "```", ""]
    left = unargued(found)
    if left:
        lines += ["Not argued yet:", "", "```text", *left, "```", ""]
    return lines[:-1]
