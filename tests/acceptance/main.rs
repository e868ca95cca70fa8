//! The acceptance scenarios of the CRM connector, on both systems: exact contents before, what is done,
//! exact contents after.
//!
//! The CRM's clock is the sandbox's and stands still unless a test moves it; ours runs seven minutes ahead of it.

#![expect(clippy::unwrap_used, reason = "test code")]

/// Plays each of these scenarios on both systems.
macro_rules! on_both {
    ($($scenario:ident),* $(,)?) => { $(
        mod $scenario {
            use crate::side::Side;

            #[tokio::test(flavor = "multi_thread")]
            async fn on_dynamics() {
                super::$scenario(Side::Dynamics).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_salesforce() {
                super::$scenario(Side::Salesforce).await;
            }
        }
    )* };
}

mod between;
mod changes;
mod conversions;
mod cuts;
mod deleted;
mod export;
mod filters;
mod ids;
mod import;
mod older;
mod own;
#[path = "../receiver/mod.rs"]
mod receiver;
mod retry;
mod side;
mod world;
