"""The tests of harness. A package, for another package of this name may be installed."""
