"""A search on several processes, by KerasTuner's protocol of a chief and its workers.

The chief (`chief`, behind `service`) owns the oracle and the run directory: it alone writes records. Workers (`client`)
ask it for trials, train, put networks into the shared folder and hand in records. `roles` reads who a process is from
the environment, `messages` says what they tell each other in KerasTuner's messages, `local` starts workers on this
machine.
"""
