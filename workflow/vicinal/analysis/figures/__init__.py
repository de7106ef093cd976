"""The figures: one module each, named here in the order of the README."""

FIGURES = (
    "temperature", "plane", "reliability", "nonlinearity", "imitation", "representations", "projection", "capacity",
    "training", "confusion", "similarity", "inheritance", "overconfidence", "corruptions",
)  # fmt: skip
