"""A DICOM network node: receive studies, run bundles on them, send results; query and retrieve."""
