//! How something is asked for and what that costs, told without doing it.

/// How something would be asked for, for `explain`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// In the words of an administrator of the system, such as `REST query` or `Bulk API 2.0 query job`.
    pub method: String,
    /// Requests that come before, each with its verb and without host.
    pub before: Vec<String>,
    /// The request with its verb, without host; `…` stands for what only the records tell.
    pub request: String,
    /// Records of one call at most.
    pub per_call: Option<u64>,
    /// Calls in all, where that is known beforehand.
    pub calls: Option<u64>,
    /// What else there is to know, a sentence each.
    pub notes: Vec<String>,
}
