"""Classes that read the journal, one file for each subject. They change no row."""
