"""The files that components hand to each other and to scripts: one model, one file name and one version for each."""
