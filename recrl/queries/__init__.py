"""Search queries that a trained model proposes for an instruction."""

from recrl.queries.proposing import Proposal, QueryModel, load_queries

__all__ = ["Proposal", "QueryModel", "load_queries"]
