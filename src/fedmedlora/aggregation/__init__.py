"""Rules that combine the sites' adapters into one.

Adapter states enter, with each site's registered token count and, for some rules, its validation loss; one adapter
state leaves, with the weights used and the sites refused. This room knows no network, no model and no note.
"""
