"""Appointments of a clinic, and who did not come: writes `appointments.csv`, the table that the notebook was given."""

import csv
from datetime import datetime, timedelta

import numpy as np

draw = np.random.default_rng(1)
days, patients, a_day = 210, 2_000, 90
careless = draw.beta(0.12, 2.2, patients)  # most always come, some often do not
distance = draw.gamma(2.0, 4.0, patients)
age = draw.integers(18, 90, patients)

with open("appointments.csv", "w", newline="") as file:
    put = csv.writer(file).writerow
    put(["appointment_id", "decide_at", "patient_id", "email", "age", "hour", "lead_days", "distance_km",
         "fee_due", "missed", "known_at"])  # fmt: skip
    for number, minute in enumerate(np.sort(draw.integers(0, days * 720, days * a_day)).tolist(), 1):
        day, of_day = divmod(minute, 720)
        at = datetime(2025, 1, 1, 6) + timedelta(days=day, minutes=of_day)  # two days before the appointment
        who = int(draw.integers(patients))
        hour, lead = int(draw.integers(8, 18)), int(draw.geometric(0.08))
        odds = careless[who] * (0.1 + 0.06 * min(lead, 40)) * (2.4 if hour < 10 else 0.7) * (0.3 + distance[who] / 12)
        missed = int(draw.random() < min(0.9, odds))
        fee = 25 if missed and draw.random() < 0.95 else 0  # put on the bill afterwards
        put([number, f"{at:%Y-%m-%dT%H:%M:%SZ}", who, f"patient{who}@example.com", age[who], hour, lead,
             round(float(distance[who]), 1), fee, missed, f"{at + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}"])  # fmt: skip
