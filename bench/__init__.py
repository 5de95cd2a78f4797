"""`make bench`: what Countersign costs, beside limits taken on the same machine in the same run."""
