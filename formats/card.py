"""What client and registry must agree on about a model card."""

NOT_STATED = "Not stated yet: say what this model is for before you submit it."
"""The purpose of a card that was written for somebody who gave none; nobody can ask for approval with it."""
