"""Inside: the program of ours that is brought into a box, and does there what the toolbox alone cannot promise.

Owns: commands without a shell that end with all they started, one server per name, files that stay below the home.
Never: a module beyond the standard library of Python 3.9 and these; a wait without an end.
Reads as: toolbox.py -> a shell in the box -> main.py -> the modules here.

    ~/.taskdock/provider/runs/<id>/                          one command: its outputs, and `result` once it has ended
    ~/.taskdock/provider/services/<name>/record              one server, as it is written down
    ~/.taskdock/provider/services/<name>/<incarnation>/log   one start of it
    <a run, a start>/alive                                   locked by the supervisor for as long as it lives
"""
