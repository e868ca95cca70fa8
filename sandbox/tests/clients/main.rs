//! Other people's clients, unmodified, against the stand-in: see tests/clients/README.md.

mod dynamics_web_api;
mod run;
