"""Store adapters: where records, history and the outbox are kept.

Owns: one file per database.
Never: decides anything about a record; it keeps what `step` returned.
Reads as: services -> the store port -> one of these.
"""
