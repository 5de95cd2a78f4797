"""What client and registry must agree on about a model card."""

NOT_STATED = "Not stated yet: say what this model is for before you submit it."
"""The purpose of a card that was written for somebody who gave none; nobody can ask for approval with it."""

_TEMPLATE = """\
---
# One sentence that a stranger understands: what is this model for?
purpose: ""
# text-classification, tabular-classification, regression, clustering, ...
task: ""
# The team or person answerable for it, and where to ask.
owner: {owner}
contact: ""
# What goes in and what comes out, for people.
inputs: ""
outputs: ""
# Which data, from when, how it was chosen, what is known to be wrong with it.
training_data: ""
# How good, on which data, against which baseline.
metrics: ""
# What it may be used for, and what not. One or several; without uses, approval is asked for its purpose.
uses: ""
prohibited_uses: ""
# Where it fails.
limits: ""
licence: ""
# What sample.jsonl holds: synthetic, masked or real rows. Real rows never enter images or evidence packs.
sample_kind: synthetic
---

# {title}

Say here what a reviewer needs to know: why this model, how it was validated, what changed since the last version.
"""


def template(*, owner: str, title: str) -> str:
    """A card to fill in; what it leaves empty is refused with its name.

    :param owner: as YAML.
    """
    return _TEMPLATE.format(owner=owner, title=title)
