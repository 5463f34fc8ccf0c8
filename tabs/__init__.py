"""The screen: one file a tab, each a thin layer over the package of the same noun."""
