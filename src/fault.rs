//! Why a command ended early.

use engine::failure::Failure;
use server::client::CallError;
use server::project::NotLoaded;
use server::refusal::ProblemView;

/// Why a command ended early. Printed in one place, [`report`](crate::report).
#[derive(Debug)]
pub(crate) enum Fault {
    /// A file of the author's is not right.
    Problems {
        /// All that is wrong.
        problems: Vec<ProblemView>,
        /// The file's text.
        text: String,
    },
    /// The configuration or the command line is not right.
    NotRight(Failure),
    /// Something else went wrong.
    Failure(Failure),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<NotLoaded> for Fault {
    fn from(why: NotLoaded) -> Self {
        match why {
            NotLoaded::Problems(problems, text) => {
                Self::Problems { problems: problems.into_iter().map(ProblemView::from).collect(), text }
            }
            NotLoaded::Failure(failure) => Self::NotRight(failure),
        }
    }
}

/// A call that is not tried again.
impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refusal) => Self::Failure(refusal.into()),
            CallError::Gone { .. } => {
                let message = "the process that had the data folder open is gone";
                Self::Failure(Failure::new(engine::failure::Class::Transient, message).help("try again"))
            }
        }
    }
}
