"""The tests, one folder a package; `test_repo` looks at the repository as a whole."""
