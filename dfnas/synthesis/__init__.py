"""Images out of a frozen teacher: inversion, the batch-norm distance, whole sets round by round."""
