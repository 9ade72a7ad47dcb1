"""Watching: six kinds of monitor over a period of decisions, and the incidents that some of them open.

    data          contract, freshness, volume, drift       rows that come
    performance   what the model gets right, real and estimated
    operational   errors, latency, timeouts, saturation
    cost          per 1,000 decisions, by part
    business      value, KPIs, the queue of reviews, overrides
    fairness      groups and their intersections

Each is a function from a `Period` and what is usual to `Finding`s; `pages` says who is woken, `incidents` for what.
All of it is pure: live, the flows read a period from the log; a rehearsal, from its own arrays.
"""
