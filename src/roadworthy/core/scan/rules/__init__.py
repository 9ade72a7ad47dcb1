"""The rules of the scan, one a file, in the order that a report has them."""

from __future__ import annotations

from roadworthy.core.scan.rules import (
    absolute_path,
    accuracy_on_rare_classes,
    asks_at_keyboard,
    commented_out_switch,
    constants_in_code,
    copied_cells,
    data_without_version,
    execution_order,
    fitted_on_test,
    latency_not_measured,
    long_notebook,
    no_baseline,
    no_held_out_rows,
    no_seed,
    no_tests,
    outcome_in_features,
    personal_data_in_file,
    personal_data_in_output,
    preprocessing_before_split,
    preprocessing_not_saved,
    random_split_of_ordered_rows,
    rows_dropped,
    secret_in_code,
    silenced_warnings,
    silent_except,
    spreadsheet_export,
    test_set_reused,
    threshold_untouched,
    train_test_overlap,
    training_serving_skew,
    undeclared_dependencies,
    unpinned_dependencies,
    unreadable_code,
    unsafe_load,
)

_MODULES = (
    preprocessing_before_split, fitted_on_test, train_test_overlap, test_set_reused, random_split_of_ordered_rows,
    outcome_in_features, no_held_out_rows, accuracy_on_rare_classes, no_baseline, threshold_untouched,
    secret_in_code, personal_data_in_output, personal_data_in_file, unsafe_load, unreadable_code, execution_order,
    no_seed, undeclared_dependencies, unpinned_dependencies, absolute_path, data_without_version, asks_at_keyboard,
    commented_out_switch, copied_cells, constants_in_code, spreadsheet_export, preprocessing_not_saved,
    training_serving_skew, silent_except, rows_dropped, no_tests, silenced_warnings, latency_not_measured,
    long_notebook,
)  # fmt: skip
RULES = tuple(module.RULE for module in _MODULES)
