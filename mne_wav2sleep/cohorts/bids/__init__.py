"""Datasets in BIDS, the Brain Imaging Data Structure: nights from one, and results as another.

reading        nights, participants and descriptions; sidecars: channels and events
derivatives    a staged cohort as a dataset; names: of its files; columns: what they mean
"""
