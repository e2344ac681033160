"""Mutation testing: its page says what the last run found, and nothing is argued of a mutant that is not there."""

from architecture.source_tree import REPOSITORY
from mutation.record import PAGE, TARGET, arguments, page, results, unargued
from mutation.sites import Site, sites_of, words_of
from mutation.tree import CORE


def sites() -> list[Site]:
    """All mutants of the core as it is now."""
    sources = {path.stem: path.read_text() for path in sorted((REPOSITORY / CORE).glob("*.py"))}
    words = words_of(sources.values())
    return [site for module, source in sources.items() for site in sites_of(module, source, words)]


def test_page_is_made_from_the_record() -> None:
    """The page is what the results and the arguments give; `make mutants` writes it anew."""
    assert PAGE.read_text() == page()


def test_every_argument_is_about_a_mutant() -> None:
    """An argument whose mutant is gone is gone, too, and none is made twice."""
    argued = [name for argument in arguments() for name in argument.mutants]
    assert sorted(argued) == sorted(set(argued))
    assert sorted(set(argued) - {site.name for site in sites()}) == []


def test_every_mutant_has_a_name_of_its_own() -> None:
    """Names tell mutants apart, and the record is of modules that are there."""
    found = sites()
    assert len({site.name for site in found}) == len(found)
    assert results().keys() <= {site.module for site in found}


def test_enough_are_noticed() -> None:
    """Of the modules that were run at least 95 of 100 mutants fail a test, and each survivor is argued for."""
    found = results().values()
    assert sum(one.killed for one in found) >= TARGET * sum(one.mutants for one in found)
    assert unargued(results()) == []
