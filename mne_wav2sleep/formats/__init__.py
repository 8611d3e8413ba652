"""File formats for which MNE's readers are not sufficient.

In: a path. Out: header, samples, annotations, gaps and start time. Reading a recording, reading a
hypnogram and writing output all need these, so that the formats have a room of their own.
"""
