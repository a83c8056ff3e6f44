"""Attribution graphs: read one, label its features by tier, group them, and write it for both of its viewers.

Goes in: files of circuit-tracer and Neuronpedia, the records of their features, quality measures of a labelled graph.
Stays out: how a feature gets its tier (tiers/), how labels are written (labeling/), who runs it (steps/, the command).
"""
