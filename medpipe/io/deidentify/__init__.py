"""De-identification of DICOM files by the Basic Application Level Confidentiality Profile of PS3.15 annex E."""
