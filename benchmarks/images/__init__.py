"""Which scores of image models to trust: classes found, wrong labels found, trainings predicted."""
