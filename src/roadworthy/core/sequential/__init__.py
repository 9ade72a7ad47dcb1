"""Evidence that may be looked at whenever one likes: e-processes, confidence sequences, an e-detector.

An e-process starts at 1 and has, under the null hypothesis, an expectation of at most 1 at every stopping time. By
Ville's inequality (1939) the chance that it ever reaches 1 / alpha is then at most alpha, however often one looks. A
confidence sequence is the same for an interval: the chance that it ever misses is at most alpha.

    binomial        errors and other events of two arms; pairs that disagree      exact
    tail            latency and other heavy tails of two arms                     exact
    betting         mean of bounded values: paired differences, two groups        exact
    detector        the same mean, when it is good now and may go bad later       exact, in false alarms per time
    mean            mean of any values, or difference of two arms, adjusted       asymptotic
    sample_ratio    whether the traffic was split as it was meant to be           exact
    many            several hypotheses at once

Each state is plain data of a fixed size: `update` gives the state with more data, `merge` the state of both parts,
`log_e_value` the natural logarithm of the evidence (sums of 10**8 events stay in range), `interval` a confidence
sequence. What is guaranteed and what is not: docs/sequential.md.
"""

from roadworthy.core.sequential import betting, binomial, detector, many, mean, sample_ratio, tail

__all__ = ["betting", "binomial", "detector", "many", "mean", "sample_ratio", "tail"]
