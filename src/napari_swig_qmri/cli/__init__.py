"""The command line, ``swig-qmri``."""
