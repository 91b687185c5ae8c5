"""Networks trained on whatever source: the loop, its losses, evaluation, and students of a teacher."""
