"""Wrappers that fit `recrl/WebShop-v0` to Gymnasium's world: numbered actions with a mask, valid samples, recording."""

from recrl.wrappers.discrete import DiscreteActions
from recrl.wrappers.recording import RecordEpisodes
from recrl.wrappers.sampling import SampleValidActions, sample_valid

__all__ = ["DiscreteActions", "RecordEpisodes", "SampleValidActions", "sample_valid"]
