//! Something goes wrong at one request, whichever it is: the run goes on by itself or when it is resumed, and each record is
//! where it belongs, once.

use sandbox::{Fault, RetryAfter};

use crate::everything::Everything;
use crate::rounds::rounds;

/// A few more than the requests of a run.
const REQUESTS_MAX: u64 = 70;

fn faults() -> Vec<(&'static str, Fault)> {
    let status = |status| Fault { status: Some(status), ..Fault::default() };
    let proxy = Fault { body: Some("<html>Sign in</html>".to_owned()), ..Fault::default() };
    vec![
        ("answers lost", Fault { cut_after_commit: true, ..Fault::default() }),
        ("answers cut", Fault { cut_after_bytes: Some(1), ..Fault::default() }),
        ("answers of a proxy", proxy),
        ("429", Fault { retry_after: Some(RetryAfter::Seconds(0)), ..status(429) }),
        ("500", status(500)),
        ("503", status(503)),
        ("401", status(401)),
    ]
}

#[test]
fn a_fault_at_a_random_request_of_imports_and_exports_leaves_each_record_once() {
    rounds("faults at one request", 3, |dice, done| {
        let everything = Everything::new(*dice.of(&[0, 3]));
        let all = faults();
        let (name, fault) = dice.of(&all);
        let fault = Fault { skip: dice.below(REQUESTS_MAX), times: Some(1), ..fault.clone() };
        everything.world.sandbox.admin().add_fault(fault).unwrap();
        everything.to_the_end();
        everything.check();
        *done.entry(*name).or_default() += everything.world.sandbox.admin().faults()[0].fired;
        *done.entry("records in doubt").or_default() += everything.in_doubt();
    });
}
