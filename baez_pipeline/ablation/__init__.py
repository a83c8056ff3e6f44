"""The article's fall to chance, fault by fault: the same labels judged with every fault on, off, and one at a time.

Goes in: the article's faults as changes of an experiment, what a failing judge does, and how far each fault moves a
score. Stays out: how anything is judged (scoring/) or split (features/): a fault is a setting that they know.
"""
