"""The federation: rounds between one coordinator and its sites, on Flower, wherever the sites run.

Site trainers and an initial adapter enter; the final adapter and a record of every round leave. This room alone knows
Flower; it knows no note, no label and no model, only `training.contract`.

Importing it sets the environment defaults of `environment` (no telemetry, no update check), because Flower reads them
when it is imported.
"""

from fedmedlora.federation.environment import set_safe_defaults

set_safe_defaults()
