"""Runbooks: for each monitor what a failure means, what to look at, and what may be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Runbook:
    """What somebody who is woken by it needs to know first."""

    means: str
    look: str
    may: str


RUNBOOKS: Mapping[str, Runbook] = MappingProxyType({
    "contract": Runbook(
        "More rows than allowed break a rule of their contract. They are refused, so nobody decides on them.",
        "`roadworthy quarantine`, and the columns that the finding names: did a sender change a format or a unit?",
        (
            "Tell the contract's owner. Mend the source, then take the rows in with `quarantine --release`. "
            "Change the contract only if the new values are meant."
        )),
    "rules": Runbook(
        (
            "The newest pull broke a rule about many rows at once, such as a share of missing values. It was not "
            "published."
        ),
        "`roadworthy data`, then `roadworthy quality CONTRACT FILES` for the rows.",
        "Mend the source and pull again. The older snapshot stays in use."),
    "freshness": Runbook(
        "Data is older than its contract promises. Decisions rest on facts that are not up to date.",
        "`roadworthy data`: the last pull, its error, and the newest row.",
        "Start the source again, or `roadworthy acquire`. If facts are wrong for long: `roadworthy halt`."),
    "volume": Runbook(
        "Far more or fewer rows came than in the same hours of earlier weeks.",
        "Whether a sender is down, sends twice, or a campaign runs.",
        "Nothing, if there is a reason. Else ask the sender."),
    "drift": Runbook(
        "Rows look different from those of the same hours of earlier weeks. That is no proof of harm.",
        "The columns that are named first: they moved the score most. Then `estimated_performance`.",
        "Watch. Retrain if the performance follows."),
    "performance": Runbook(
        (
            "Outcomes are further from the probabilities than these promise: what inputs mean has changed, or "
            "outcomes are wrong."
        ),
        "The segments that are named; `calibration`; whether outcomes come from the same source as before.",
        (
            "`roadworthy rollout` or `promote` an earlier release, retrain, or `roadworthy halt` until it is "
            "understood."
        )),
    "discrimination": Runbook(
        "More of the true outcomes come to rows of low probability than were promised: something new goes unseen.",
        "The segments that are named, and the newest true outcomes: what do they have in common?",
        "A rule or a guardrail for what is new, until a model has learned it; retrain when there are enough outcomes.",
    ),
    "estimated_performance": Runbook(
        (
            "By its own probabilities the model decides in greater doubt, and loses more money against perfect "
            "foresight."
        ),
        "`drift` for the columns that changed, and whether a feature is missing.",
        "Mend the feature. If the world changed, retrain when outcomes are there."),
    "ranking": Runbook(
        "The model ranks worse than it was tested to.",
        "The same as for `performance`.",
        "Retrain; see whether it would help first."),
    "estimated_ranking": Runbook(
        "By CBPE or PAPE the model will rank worse than it was tested to.",
        "`drift`, and which of the two estimates was chosen and why.",
        "Wait for outcomes, or have a sample of cases reviewed."),
    "calibration": Runbook(
        "More or fewer outcomes are true than the probabilities say.",
        "Whether the base rate changed (a season, a wave) or outcomes are late.",
        "Retrain: calibration is fitted anew."),
    "concept_drift": Runbook(
        "The same inputs mean something else than they did.",
        "Which segments: `performance` names them.",
        "Retrain on recent outcomes; a longer window of training would only dilute them."),
    "errors": Runbook(
        "More decisions than the service level allows take the fallback because their model gave no score.",
        (
            "`roadworthy doctor`, `/readyz`, the log of the server (`breaker`), and the reasons in "
            "`roadworthy_fallbacks`."
        ),
        (
            "Start the model's server again, go back to an earlier release, or `roadworthy halt`: it says to all "
            "that the fallback is taken."
        )),
    "latency": Runbook(
        "More batches than the service level allows take longer than the declared deadline.",
        "`saturation`, the size of batches, other work on the machine; `roadworthy plan --rate R`.",
        "Add a worker or a machine; raise `decision.deadline` if callers can wait."),
    "timeouts": Runbook(
        "Models were too late, and their rows took the fallback.",
        "`latency`; for a remote model the network and the vendor.",
        "As for `errors`."),
    "saturation": Runbook(
        "The desk is near the most that it can decide: rows will wait.",
        "`roadworthy plan --rate R` with the rate of the busiest hour.",
        "Add workers before the next peak."),
    "cost": Runbook(
        "1,000 decisions cost more than the budget.",
        "The parts: reviews, calls of a vendor, machines.",
        "Lower `reviewers.capacity`, cache answers, or change the budget."),
    "value": Runbook(
        "Decisions bring less money than was expected of them when they were made.",
        "`performance` and its segments; the amounts of the worst decisions (`roadworthy trace`).",
        "Go back to an earlier release, tighten the policy, retrain, or `roadworthy halt`."),
    "value_per_day": Runbook(
        "A day brings less than the release was tested to bring. It may be fewer rows, or smaller ones.",
        "`volume`, then `value`.",
        "Nothing, if the volume explains it."),
    "kpi": Runbook(
        "A declared KPI, for those who follow it.",
        "Its line over the periods.",
        "What its owner decides."),
    "queue": Runbook(
        "More cases come than people can work: some will end in the declared action, unseen.",
        "Whether the price of a review follows the volume; the tier `guardrail`.",
        "More reviewers, or `roadworthy train` to set the price anew."),
    "overrides": Runbook(
        "People often end cases otherwise than the model would.",
        "Whether they are right: compare the outcomes of both.",
        "Teach whoever is wrong: the model, by retraining, or the people."),
    "fairness": Runbook(
        "A group's decisions differ from those of all others by more than the bound.",
        "The groups that are named, with base rates: `roadworthy labels`. Groups too small to judge are listed.",
        "Ask the owner and those who answer for equal treatment. Do not correct by the protected column itself."),
})  # fmt: skip
