"""Per task: join predictions with truth, run metrics with intervals, write results.json."""
