"""The tier protocol: score the windows around a feature's peaks first, then spend labelling effort by tier.

Goes in: windows, correlation scores, nulls, routing, whether they work on features whose class is known; who labels
which tier, a person's answers, and what that saves. Stays out: how a method writes labels (labeling/) and how they are
judged (scoring/).
"""
