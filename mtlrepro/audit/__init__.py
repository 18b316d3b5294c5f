"""`mtlrepro audit`: do the printed numbers of a paper follow from each other? Nothing is trained or measured here."""
