import checkpoints_value_heads as checkpoints
from family_case import FamilyCase
from reference import reasonflux

CASES = [
    FamilyCase(
        "reasonflux-prm-7b", "reasonflux", checkpoints.reasonflux, reasonflux.step_rewards, special_marker="<extra_0>"
    ),
]
