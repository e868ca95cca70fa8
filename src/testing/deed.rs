//! What Campanile does in a step.

use std::sync::Arc;

use engine::engine::Engine;
use engine::event::Backfill;
use engine::failure::{Class, Failure};
use engine::outside::database::NewTable;
use engine::outside::desk::Wanted;
use engine::outside::store::RunId;
use engine::run;
use server::api::Checked;
use server::online;
use server::rejects::Resend;
use server::service::Service;

use super::file::{Deed, ResendStep, RunStep, TableStep};
use super::process::Ended;
use super::read::Loaded;
use super::world::World;

/// Does it in a process, to the last run where it is done to one.
pub(super) async fn perform(
    deed: Deed<'_>,
    last: Option<&RunId>,
    loaded: &Loaded,
    world: &World,
    engine: &Arc<Engine>,
) -> Result<Ended, Failure> {
    let last = || last.ok_or_else(|| Failure::new(Class::Config, "no run has begun"));
    let (file, text) = &loaded.workflow;
    let started = match deed {
        Deed::CreateTable(table) => return create_table(table, engine).await.map(|()| Ended::Done),
        Deed::Check => {
            let checked = Checked { file: file.clone(), text: text.clone() };
            return Ok(Ended::Checked(online::check_online(engine, &checked).await.problems));
        }
        Deed::Pause => {
            engine.pause(last()?).await?;
            let (id, (_, run)) = (last()?.clone(), engine.load(last()?).await?);
            // In the midst of a task it is at rest once that has ended, for which it must be resumed.
            return Ok(match run.status() {
                run::Status::Running => Ended::BrokenOff(id),
                status => Ended::At(id, status),
            });
        }
        Deed::Stop => return Ok(Ended::At(last()?.clone(), engine.stop(last()?).await?)),
        Deed::Resend(which) => return resend(which, world, engine).await,
        Deed::Resume(step) => {
            let vars = step.allow.unwrap_or_default().vars();
            Ok((last()?.clone(), engine.resume_with(last()?, vars).await?))
        }
        Deed::Restart(step) => engine.restart(last()?, step.again).await,
        Deed::Run(RunStep { vars, backfill, .. }) => {
            let mut all = world.vars.clone();
            all.extend(vars.clone());
            let backfill = backfill.as_ref().map(|window| Backfill {
                from: window.from.0,
                to: window.to.0,
                activity: window.activity.clone(),
            });
            engine.start_with(&file.display().to_string(), text, all, backfill).await
        }
    };
    match started {
        Ok((id, driven)) => world.follow(id, &driven).await,
        Err(why) => Ok(Ended::NotStarted(why)),
    }
}

async fn create_table(step: &TableStep, engine: &Arc<Engine>) -> Result<(), Failure> {
    let environment = &engine.environment;
    let object = environment.descriptions.object(environment, &step.account, &step.object).await?;
    let table = NewTable::of(&object, step.table.as_deref());
    environment.database.extend(&table).await.map(|_| ())
}

/// Sends rejects again, run by run; tells of the last.
async fn resend(step: &ResendStep, world: &World, engine: &Arc<Engine>) -> Result<Ended, Failure> {
    let service = Arc::new(Service::new(Arc::clone(engine), Arc::new(world.project.clone())));
    let ResendStep { ids, activity, code, .. } = step.clone();
    let wanted = Wanted { ids, activity, code, ..Wanted::default() };
    let resend = Resend { wanted, config: None, identity: world.project.identity.clone() };
    let sent = service.resend(resend).await?;
    let mut ended = Ended::Done;
    for began in sent.runs {
        ended = match engine.driven(&began.run) {
            Some(driven) => world.follow(began.run, &driven).await?,
            None => Ended::At(began.run.clone(), engine.load(&began.run).await?.1.status()),
        };
    }
    match (&ended, sent.left.as_slice()) {
        (Ended::Done, [why, ..]) => Err(Failure::new(Class::Config, format!("nothing was sent: {why}"))),
        (Ended::Done, []) => Err(Failure::new(Class::Config, "no reject waits to be sent")),
        _ => Ok(ended),
    }
}
