import checkpoints_outcome as checkpoints
from family_case import FamilyCase
from reference import armo_rm as reference

CASES = [FamilyCase("armo_rm", "armo_rm", checkpoints.armo_rm, reference.step_rewards, special_marker="<|eot_id|>")]
