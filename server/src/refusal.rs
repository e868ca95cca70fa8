//! Why the API did not do what it was asked.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::engine::NotStarted;
use engine::failure::{Class, Failure};
use engine::outside::store::StoreError;
use engine::problem::Problem;
use serde::{Deserialize, Serialize};

/// A refusal, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What would be right, or what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Of what kind it is.
    pub class: Class,
    /// All that is wrong with a workflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemView>,
}

/// A problem as it travels; see [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProblemView {
    /// The file, as it was named.
    pub file: String,
    /// JSON pointer into the file.
    pub pointer: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// A word for programs.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl From<Problem> for ProblemView {
    fn from(problem: Problem) -> Self {
        let Problem { file, pointer, line, column, code, message, help } = problem;
        Self { file, pointer, line, column, code: code.to_owned(), message, help }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { message: failure.to_string(), help: failure.help, class: failure.class, problems: Vec::new() }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Failure::from(error).into()
    }
}

impl From<NotStarted> for Refusal {
    fn from(why: NotStarted) -> Self {
        match why {
            NotStarted::Failure(failure) => failure.into(),
            NotStarted::Problems(problems) => {
                let message = "the workflow is not right".to_owned();
                let problems = problems.into_iter().map(ProblemView::from).collect();
                Self { message, help: None, class: Class::Config, problems }
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let failure = Self::new(refusal.class, refusal.message);
        match refusal.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        let class = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { Class::Limit } else { Class::Config };
        Failure::new(class, rejection.body_text()).into()
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Failure::new(Class::Config, rejection.body_text()).into()
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Failure::new(Class::Config, rejection.body_text()).into()
    }
}

impl Refusal {
    /// The status of the answer. A login that is wrong is one at a CRM, not at this API.
    pub fn status(&self) -> StatusCode {
        match self.class {
            _ if !self.problems.is_empty() => StatusCode::UNPROCESSABLE_ENTITY,
            Class::Config | Class::Exhausted | Class::Stopped => StatusCode::BAD_REQUEST,
            Class::NotFound => StatusCode::NOT_FOUND,
            Class::Conflict => StatusCode::CONFLICT,
            Class::Limit => StatusCode::PAYLOAD_TOO_LARGE,
            Class::Data => StatusCode::UNPROCESSABLE_ENTITY,
            Class::Auth | Class::CursorLost | Class::InDoubt => StatusCode::BAD_GATEWAY,
            Class::Transient | Class::Quota => StatusCode::SERVICE_UNAVAILABLE,
            Class::Storage | Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status(), Json(self)).into_response()
    }
}
