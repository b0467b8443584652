"""Tests of the controlled runtime, the strategies, the detectors and the search."""
