//! What expressions read beside the record, kept while a task waits to go on.

use std::collections::BTreeMap;

use engine::context::Cx;
use engine::event::Vars;
use engine::expr::{Bound, Values, Variable};
use engine::failure::Failure;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What expressions read beside the record: it may change while a task waits to go on, and its batches must not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pinned {
    now: Timestamp,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vars::is_empty")]
    vars: Vars,
    #[serde(default, skip_serializing_if = "Vars::is_empty")]
    instance_vars: Vars,
}

impl Pinned {
    /// What these expressions read: what was kept when the task began, else what is there now, and is to be kept.
    ///
    /// # Errors
    /// Where the store cannot be read; and where one reads what is not set, when the task begins.
    pub(crate) async fn values(cx: &Cx, bounds: &[&Bound], kept: Option<&Self>) -> Result<(Values, Self), Failure> {
        let Some(kept) = kept else {
            let values = cx.values(bounds.to_vec()).await?;
            let pinned = Self::new(&values, bounds);
            return Ok((values, pinned));
        };
        let mut values = cx.gather(bounds.to_vec()).await?;
        kept.put(&mut values);
        Ok((values, kept.clone()))
    }

    fn new(values: &Values, bounds: &[&Bound]) -> Self {
        let used: Vec<&Variable> = bounds.iter().flat_map(|bound| bound.expr().variables()).collect();
        let kept = |vars: &Vars, of: fn(String) -> Variable| {
            let kept = vars.iter().filter(|(name, _)| used.contains(&&of((*name).clone())));
            kept.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Self {
            now: values.now,
            options: values.options.clone(),
            vars: kept(&values.vars, Variable::Event),
            instance_vars: kept(&values.instance, Variable::Instance),
        }
    }

    /// Puts them in place of what they are now.
    fn put(&self, values: &mut Values) {
        values.now = self.now;
        values.options.clone_from(&self.options);
        values.vars.extend(self.vars.clone());
        values.instance.clone_from(&self.instance_vars);
    }
}
