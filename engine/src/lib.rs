//! Runs graphs of activities: check, fold, driver, populations, expressions.
