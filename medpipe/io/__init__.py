"""Files to arrays with geometry, and back. DICOM's LPS and its photometric conventions stay in this room."""
