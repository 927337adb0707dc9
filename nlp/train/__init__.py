"""Training of the shipped linear models: python -m nlp.train --data ../shared/data/nlp."""
