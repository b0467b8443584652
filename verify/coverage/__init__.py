"""Which orders of conflicting operations a search has run: pairs seen in one order only are what is left to try."""

from verify.coverage.form import Coverage, Place, Seen, dump, merge, parse
from verify.coverage.pairs import Pairs
from verify.coverage.store import load, save

__all__ = ["Coverage", "Pairs", "Place", "Seen", "dump", "load", "merge", "parse", "save"]
