"""Tests of the command line, the scenarios and the watchdog."""
