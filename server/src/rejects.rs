//! The rejects desk, as it is asked and told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use engine::desk::{Together, together};
use engine::failure::{Class, Failure};
use engine::identity;
use engine::outside::desk::{Group, KeptReject, RejectId, RejectState, Wanted};
use engine::outside::memory::Answer;
use engine::outside::store::RunId;
use engine::reject::KEY_REPEATED;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::project::Origin;
use crate::refusal::Refusal;
use crate::service::{Began, Service};

/// The longest reason for ignoring a reject, in bytes.
pub const REASON_BYTES_MAX: usize = 2_000;

/// What is on the desk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RejectsView {
    /// Counted by workflow, activity and code.
    pub groups: Vec<Group>,
    /// Each, the latest first.
    pub rejects: Vec<KeptReject>,
}

/// Rejects that nobody will send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ignore {
    /// Which.
    pub ids: Vec<RejectId>,
    /// Why.
    pub reason: String,
}

/// Rejects to send again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resend {
    /// Which.
    pub wanted: Wanted,
    /// The configuration of who asks.
    pub config: Option<PathBuf>,
    /// [`Project::identity`](crate::project::Project::identity) of who asks.
    pub identity: String,
}

/// What was sent again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Resent {
    /// How many rejects.
    pub sent: u64,
    /// The runs that send them.
    pub runs: Vec<Began>,
    /// Which.
    pub ids: Vec<RejectId>,
    /// What was not sent, and why.
    pub left: Vec<String>,
}

impl Service {
    /// What is on the desk.
    pub(crate) async fn rejects(&self, wanted: &Wanted) -> Result<RejectsView, Refusal> {
        identity::check_desk(&self.engine.environment).await?;
        let desk = &self.engine.environment.desk;
        Ok(RejectsView { groups: desk.groups(wanted).await?, rejects: desk.list(wanted).await? })
    }

    /// One reject.
    pub(crate) async fn reject(&self, id: RejectId) -> Result<KeptReject, Refusal> {
        identity::check_desk(&self.engine.environment).await?;
        let wanted = Wanted { ids: vec![id], closed: true, ..Wanted::default() };
        let found = self.engine.environment.desk.list(&wanted).await?.pop();
        Ok(found.ok_or_else(|| {
            let help = "`campanile rejects list --all` lists them";
            Failure::new(Class::NotFound, format!("there is no reject {id}")).help(help)
        })?)
    }

    /// Corrects a reject.
    ///
    /// # Errors
    /// Where there is no such reject, it is closed or being sent, or a value does not fit its column.
    pub async fn correct(&self, id: RejectId, values: &Map<String, Value>) -> Result<KeptReject, Refusal> {
        let _turn = self.resending.lock().await;
        let reject = self.reject(id).await?;
        Self::must_be_refused(&reject)?;
        self.must_wait(&reject).await?;
        Ok(self.engine.correct(&reject, values).await?)
    }

    /// Closes rejects that nobody will send.
    ///
    /// # Errors
    /// Where one is not there, closed or being sent, or the reason is empty or longer than [`REASON_BYTES_MAX`].
    pub async fn ignore(&self, ignore: &Ignore) -> Result<Vec<KeptReject>, Refusal> {
        let reason = ignore.reason.trim();
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
            let message = format!("a reason has 1 to {REASON_BYTES_MAX} bytes");
            return Err(Failure::new(Class::Config, message).into());
        }
        let _turn = self.resending.lock().await;
        for id in &ignore.ids {
            let reject = self.reject(*id).await?;
            Self::must_be_refused(&reject)?;
            self.must_wait(&reject).await?;
        }
        let environment = &self.engine.environment;
        environment.desk.ignore(&ignore.ids, reason, environment.clock.now()).await?;
        let wanted = Wanted { ids: ignore.ids.clone(), closed: true, ..Wanted::default() };
        Ok(environment.desk.list(&wanted).await?)
    }

    /// Settles a record in doubt: a person looked it up in the CRM.
    ///
    /// # Errors
    /// If there is no such reject, it is not in doubt, or it is settled already.
    pub async fn settle(&self, id: RejectId, answer: &Answer) -> Result<KeptReject, Refusal> {
        let _turn = self.resending.lock().await;
        let reject = self.reject(id).await?;
        let Some(question) = reject.question else {
            let message = format!("reject {id} is not in doubt: the CRM refused it");
            let help = "correct it and send it again, or close it with `campanile rejects ignore`";
            return Err(Failure::new(Class::Config, message).help(help).into());
        };
        self.must_wait(&reject).await?;
        let environment = &self.engine.environment;
        // The memory first: it decides what later exports do.
        environment.memory.settle(&[(question, answer.clone())]).await?;
        environment.desk.answer(&[(question, answer.in_words())], environment.clock.now()).await?;
        self.reject(id).await
    }

    /// Fails for a record in doubt: whether the CRM has it is not known.
    fn must_be_refused(reject: &KeptReject) -> Result<(), Failure> {
        if reject.question.is_none() {
            return Ok(());
        }
        let id = reject.id;
        let message = format!("reject {id} is in doubt: it is not known whether the CRM took it");
        let help = format!(
            "look it up there, then `campanile rejects settle {id} --created CRM_ID` or `campanile rejects settle {id} --not-created`"
        );
        Err(Failure::new(Class::Conflict, message).help(help))
    }

    /// What is closed or on its way is changed by nobody.
    async fn must_wait(&self, reject: &KeptReject) -> Result<(), Failure> {
        let id = reject.id;
        let message = match &reject.state {
            RejectState::Open => return Ok(()),
            RejectState::Sending { run } if !self.is_sending(run).await => return Ok(()),
            RejectState::Sending { run } => format!("reject {id} is being sent by run {run}"),
            RejectState::Passed { run, .. } => format!("reject {id} is closed: it passed in run {run}"),
            RejectState::Ignored { reason, .. } => format!("reject {id} is closed: it is ignored, since {reason}"),
            RejectState::Settled { outcome, .. } => format!("reject {id} is settled: {outcome}"),
        };
        Err(Failure::new(Class::Conflict, message))
    }

    /// Whether a run may still send what it began with.
    async fn is_sending(&self, run: &RunId) -> bool {
        // A run whose number was given and that never began is none.
        self.engine.load(run).await.is_ok_and(|(_, run)| !run.status().is_over())
    }

    /// Sends rejects again: one run for all that belong together.
    ///
    /// # Errors
    /// Where none can be sent, and why the first cannot. Where some are, it stands in [`Resent::left`].
    pub async fn resend(self: &Arc<Self>, resend: Resend) -> Result<Resent, Refusal> {
        self.same_project(&resend.identity)?;
        let service = Arc::clone(self);
        // Whoever asked may go away; a run that has begun is driven all the same.
        let sent = tokio::spawn(async move { service.resend_all(resend).await });
        sent.await.map_err(|error| Failure::internal(error.to_string()))?
    }

    /// Fails with the first number that names no reject.
    async fn must_be_there(&self, ids: &[RejectId]) -> Result<(), Refusal> {
        if ids.is_empty() {
            return Ok(());
        }
        let named = Wanted { ids: ids.to_vec(), closed: true, ..Wanted::default() };
        let there = self.engine.environment.desk.list(&named).await?;
        let there: BTreeSet<RejectId> = there.into_iter().map(|reject| reject.id).collect();
        match ids.iter().find(|id| !there.contains(id)) {
            Some(missing) => self.reject(*missing).await.map(drop),
            None => Ok(()),
        }
    }

    async fn resend_all(&self, resend: Resend) -> Result<Resent, Refusal> {
        let _turn = self.resending.lock().await;
        self.must_be_there(&resend.wanted.ids).await?;
        let wanted = Wanted { closed: false, limit: None, ..resend.wanted };
        let found = self.engine.environment.desk.list(&wanted).await?;
        let mut resent = Resent::default();
        let mut ready = Vec::new();
        let mut busy: BTreeMap<RunId, bool> = BTreeMap::new();
        let mut left: BTreeSet<String> = BTreeSet::new();
        for reject in found {
            if let RejectState::Sending { run } = &reject.state {
                let is_sending = match busy.get(run) {
                    Some(is_sending) => *is_sending,
                    None => self.is_sending(run).await,
                };
                busy.insert(run.clone(), is_sending);
                if is_sending {
                    left.insert(format!("run {run} is sending some of them; resume it or stop it"));
                    continue;
                }
            }
            let is_named = !wanted.ids.is_empty() || wanted.code.is_some() || reject.corrected;
            match why_left(&reject, is_named) {
                Some(why) => drop(left.insert(why)),
                None => ready.push(reject),
            }
        }
        resent.left = left.into_iter().collect();
        let Together { groups, unreadable } = together(&self.engine, ready).await;
        let unsent = |(run, failure): (RunId, Failure)| {
            let message = format!("what {run} refused cannot be sent: {}", failure.message);
            Refusal::from(Failure { message, ..failure })
        };
        let mut refusals: Vec<Refusal> = unreadable.into_iter().map(unsent).collect();
        for group in groups {
            let run = match self.engine.resend(&group).await {
                Ok((run, _)) => run,
                Err(why) => {
                    refusals.push(why.into());
                    continue;
                }
            };
            if let Some(last) = group.last() {
                let file = self.project.origin(&last.run).map(|origin| origin.file).unwrap_or_default();
                let origin = Origin { file, config: resend.config.clone() };
                origin.keep(&self.engine.environment.run_folder(&run));
            }
            resent.sent += group.len() as u64;
            resent.ids.extend(group.iter().map(|reject| reject.id));
            resent.runs.push(Began { run, events: 0 });
        }
        if resent.runs.is_empty() && !refusals.is_empty() {
            return Err(refusals.swap_remove(0));
        }
        resent.left.extend(refusals.into_iter().map(|refusal| refusal.message));
        Ok(resent)
    }
}

/// Why a reject that waits is not sent, if it is not.
fn why_left(reject: &KeptReject, is_named: bool) -> Option<String> {
    let (workflow, activity) = (&reject.workflow, &reject.activity);
    if reject.reject.code == KEY_REPEATED && !is_named {
        return Some(format!(
            "what {activity} of {workflow} refused as {KEY_REPEATED} stays: it would take the place of the record that was written; send it \
             by its number, or with --code {KEY_REPEATED}"
        ));
    }
    if reject.question.is_some() {
        return Some(format!(
            "what is in doubt of {activity} of {workflow} is not sent: look it up in the CRM, then `campanile rejects settle`"
        ));
    }
    (!reject.sendable).then(|| {
        format!(
            "what {activity} of {workflow} refused was read there: put it right where it is, and run {workflow} again"
        )
    })
}
