//! Follows a run to its end, wherever it is driven: here, or in the process that has the data folder open. Where that
//! one dies, it takes the run over.

use std::sync::Arc;
use std::time::Duration;

use activities::PALETTE;
use engine::event::Vars;
use engine::failure::{Class, Failure};
use engine::outside::store::RunId;
use server::api::Resume;
use server::client::CallError;
use server::door::{Door, Stay};
use server::project::Project;
use server::service::News;
use server::view::RunView;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::fault::Fault;
use crate::progress::Progress;
use crate::{report, terminal};

/// How long one question for news waits; bars move as often.
const NEWS_WAIT: Duration = Duration::from_millis(200);
/// How often the data folder changes hands before a follower gives up.
const OWNERS_MAX: usize = 20;

/// Follows a run.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) door: Door,
    project: Arc<Project>,
    interrupted: watch::Receiver<bool>,
}

impl Follower {
    /// Opens the data folder, or finds who has it open.
    pub(crate) async fn new(project: Arc<Project>) -> Result<Self, Fault> {
        let interrupted = interruptions()?;
        let is_new = !project.data.exists();
        let door = open(&project, None).await?;
        if is_new {
            terminal::note(&format!("new data folder {}", project.data.display()));
        }
        let follower = Self { door, project, interrupted };
        follower.tell_owner();
        Ok(follower)
    }

    fn tell_owner(&self) {
        if let Some(pid) = self.door.client.pid() {
            terminal::note(&format!("process {pid} has the data folder open: it drives the run, and this one follows"));
        }
    }

    /// Asks for something that must not be asked twice.
    pub(crate) async fn once<T>(
        &mut self,
        ask: impl AsyncFn(&server::client::Client) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        for _ in 0..OWNERS_MAX {
            let mut interrupted = self.interrupted.clone();
            let answer = tokio::select! {
                answer = ask(&self.door.client) => answer,
                _ = interrupted.wait_for(|interrupted| *interrupted) => {
                    let failure = Failure::new(Class::Stopped, "interrupted while it was being started");
                    return Err(failure.help("`campanile runs` tells whether the run began").into());
                }
            };
            match answer {
                Err(CallError::Gone { heard: false }) => self.open_anew(None).await?,
                other => return other,
            }
        }
        Err(CallError::Gone { heard: false })
    }

    /// `following` is taken over.
    async fn open_anew(&mut self, following: Option<&RunId>) -> Result<(), Failure> {
        self.door = open(&self.project, following).await?;
        Ok(())
    }

    /// Follows a run from this event on until nothing drives it any more, or the operator interrupts.
    pub(crate) async fn follow(&mut self, run: &RunId, from: u64) -> Result<RunView, Fault> {
        let mut progress = Progress::new();
        let followed = self.follow_showing(run, from, &mut progress).await;
        progress.end();
        followed
    }

    async fn follow_showing(&mut self, run: &RunId, from: u64, progress: &mut Progress) -> Result<RunView, Fault> {
        let mut from = from;
        let mut owners = 0;
        loop {
            let path = format!("/runs/{run}/news?from={from}&waitMs={}", NEWS_WAIT.as_millis());
            let mut interrupted = self.interrupted.clone();
            let news: Result<News, CallError> = tokio::select! {
                news = self.door.client.get(&path) => news,
                _ = interrupted.wait_for(|interrupted| *interrupted) => return self.interrupt(run).await,
            };
            let view = match news {
                Ok(news) => {
                    from = news.next;
                    progress.news(&news);
                    if !news.ended {
                        continue;
                    }
                    self.door.client.get::<RunView>(&format!("/runs/{run}")).await
                }
                Err(error) => Err(error),
            };
            match view {
                Ok(view) => return Ok(view),
                Err(CallError::Gone { .. }) if owners < OWNERS_MAX => {
                    owners += 1;
                    self.take_over(run).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The owner is gone. Whoever opens the store next drives the run on, this process or another.
    async fn take_over(&mut self, run: &RunId) -> Result<(), Fault> {
        let gone = self.door.client.pid();
        self.open_anew(Some(run)).await?;
        let view: RunView = match self.door.client.get(&format!("/runs/{run}")).await {
            Ok(view) => view,
            // The next owner is gone too: the next question for news tells.
            Err(CallError::Gone { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if view.driven || !view.status.is_driven() {
            return Ok(());
        }
        let who = gone.map_or_else(|| "the other process".to_owned(), |pid| format!("process {pid}"));
        let whither = self.door.client.pid().map_or_else(|| "here".to_owned(), |pid| format!("in process {pid}"));
        report::warning(&format!("{who}, which drove run {run}, is gone; the run goes on {whither}"));
        let resume = Resume { identity: self.project.identity.clone(), vars: Vars::new(), wake: false };
        match self.door.client.post::<server::service::Began>(&format!("/runs/{run}/resume"), &resume).await {
            Ok(_) | Err(CallError::Gone { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn interrupt(&mut self, run: &RunId) -> Result<RunView, Fault> {
        if self.door.is_owner() {
            terminal::note("interrupted: what is sealed stays");
            self.door.leave(terminal::is_watched()).await;
        } else if let Some(pid) = self.door.client.pid() {
            terminal::note(&format!("interrupted: the run goes on in process {pid}"));
        }
        Ok(self.door.client.get(&format!("/runs/{run}")).await?)
    }

    /// Stays until the runs that others submitted are done and alerts are told, then lets the data folder go.
    pub(crate) async fn end(mut self) {
        let driving = self.door.driving();
        if !driving.is_empty() {
            let runs: Vec<String> = driving.iter().map(ToString::to_string).collect();
            terminal::note(&format!(
                "still driving {}, which others submitted; Ctrl-C leaves it to be resumed",
                runs.join(", ")
            ));
            let idle = tokio::select! {
                () = self.door.until_idle() => true,
                _ = self.interrupted.wait_for(|interrupted| *interrupted) => false,
            };
            if !idle {
                self.door.leave(terminal::is_watched()).await;
            }
        }
        let told = tokio::select! {
            // What is told already needs no wait, also after Ctrl-C.
            biased;
            told = self.door.until_told() => told,
            _ = self.interrupted.wait_for(|interrupted| *interrupted) => false,
        };
        if !told {
            report::warning(
                "an alert is not told yet; the next `campanile run` or `resume` in this data folder tells it",
            );
        }
        self.door.close().await;
    }
}

async fn open(project: &Arc<Project>, following: Option<&RunId>) -> Result<Door, Failure> {
    let door = Door::open(project, PALETTE, Stay::Long).await?;
    report::interrupted(&door.find_interrupted(following).await);
    Ok(door)
}

/// Becomes true on Ctrl-C and on a polite request to end; on a second one the process ends at once, which loses nothing that
/// is sealed.
pub(crate) fn interruptions() -> Result<watch::Receiver<bool>, Fault> {
    const INTERRUPTED: i32 = 130;
    let (sender, receiver) = watch::channel(false);
    let listen = |kind| signal(kind).map_err(|error| Failure::io("cannot listen to signals", &error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first {
                sender.send_replace(true);
            } else {
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(receiver)
}
