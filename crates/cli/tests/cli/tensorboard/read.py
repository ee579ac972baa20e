"""Prints the scalars of a run as TensorBoard reads them, as JSON: {tag: [[wall time, step, value], ...]}."""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    """Reads the folder in the argument."""
    # 0: every event, not a sample of them.
    events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
    events.Reload()
    scalars = {
        tag: [[event.wall_time, event.step, event.value] for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    print(json.dumps(scalars))


main()
