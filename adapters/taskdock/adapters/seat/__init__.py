"""Seat adapters: how the processes of one store agree who schedules, and wake each other.

Owns: one file per means.
Never: truth; what it says is a hint, and the store is read.
Reads as: services -> the seat port -> one of these.
"""
