"""A notebook as a file, from its run to its page: executed, judged, published, rendered, handed out."""
