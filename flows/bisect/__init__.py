"""The commit that made a number of the model worse, found with few evaluations."""
