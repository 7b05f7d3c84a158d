"""Our MONAI dictionary transforms, and named pipelines per modality."""
