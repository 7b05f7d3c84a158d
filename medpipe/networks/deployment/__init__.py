"""Networks as files of other runtimes: ONNX, torch.export and OpenVINO, checked equal before they are handed out.

``formats.export_network`` writes, ``runtimes.load_network`` runs. What is imported from here on is imported by module:
running an exported file needs none of what writing one does.
"""
