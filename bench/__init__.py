"""Performance claims: each against a peer on the same rows, in turn in one run, so that the machine cancels out."""
