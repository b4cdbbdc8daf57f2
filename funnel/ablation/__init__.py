"""The comparison of objectives on a user's own rows: Table 2 of Ma et al., 2018."""
