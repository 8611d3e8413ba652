"""Cohorts of the National Sleep Research Resource (NSRR), as they are downloaded.

layout         names of recordings and scorings, and who is the subject
reading        the nights of a download
parts          training, validation and test: of lists of ids, or drawn by subject
"""
