"""Ignite engines: steps, handlers and metric adapters that MONAI's trainers and evaluators take."""
