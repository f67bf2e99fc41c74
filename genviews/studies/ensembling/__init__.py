"""The test-time arrow: do generated views help a classifier? (Chai et al. 2021)."""
