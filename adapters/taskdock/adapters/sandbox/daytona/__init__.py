"""Daytona: sandboxes in Daytona's cloud, or at whoever speaks its API.

Owns: the two sandbox ports over Daytona's REST API and the toolbox of each sandbox.
Never: Daytona's own client; it loses the id of what it made when a create takes long, and knows one event loop only.
Reads as: app -> provider.DaytonaSandboxes -> the modules here.
"""
