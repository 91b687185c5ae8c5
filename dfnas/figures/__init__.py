"""Every plot of the book: functions from records, arrays and dictionaries to a matplotlib Figure, or to rows of images.

Titles say what is shown, never what came out. Arrays are numpy's, or tensors on the CPU; none is changed.
"""

from dfnas.figures.cells import genotype
from dfnas.figures.chains import best_so_far, chain, choices_by_block, population
from dfnas.figures.comparisons import accuracy_against_images, arm_differences, arms
from dfnas.figures.curves import drift_by_round, label_entropy_by_round, learning_curve, loss_terms, schedule
from dfnas.figures.matrices import batch_norm_memory, class_similarity, confusion_matrix, update_counts
from dfnas.figures.pictures import Pictures, Row, ablation_strip, beside, image_grid
from dfnas.figures.probabilities import latencies, path_probabilities, updates
from dfnas.figures.rankings import against_real, coefficients, judges, regrets
from dfnas.figures.rooflines import growths, ratios, roofline
from dfnas.figures.searches import accuracy_against_macs, architecture_parameters, entropy_and_skips, search_curves
from dfnas.figures.widths import accuracy_by_budget, widths, widths_by_generation
from dfnas.search.html_table import Tables, by_source, finds
from dfnas.search.html_table import arms as arms_table
