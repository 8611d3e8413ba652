"""File formats for which MNE's readers are not sufficient.

In: a path. Out: header, samples, annotations, gaps and start time. Reading a recording, reading a
hypnogram and writing output all need these, so that the formats have a room of their own.

    edf          EDF and BDF: samples, annotations, gaps; records: their bytes; start: date and
                 time of their headers
    brainvision  segments and sizes of BrainVision files
    meas_date    the start of a Raw, for which the header of its file is read again
"""
