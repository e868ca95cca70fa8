//! Settles questions by asking the CRM what our own user created.
//!
//! A record was created if the records that our user created in its time, and that no answer explains, match the
//! questions one to one. It was not if its time is over and every record that our user created in it is explained. Else a
//! person decides.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use engine::context::Cx;
use engine::event::Level;
use engine::expr::Value;
use engine::failure::Failure;
use engine::outside::crm::{Crm, FETCH_MAX, Object, Page, Read, ReadField};
use engine::outside::memory::{Answer, Doubt, MemoryId, Remembered, State};
use jiff::Timestamp;
use serde_json::Value as Json;

/// The most records that our user may have created in the time of a question.
const CREATED_MAX: usize = 20_000;

/// A question with what it is about.
type Question<'a> = (MemoryId, &'a Doubt);

/// What is remembered once the CRM was asked. If it cannot be asked, the questions stay open.
pub(super) async fn by_asking(
    cx: &Cx,
    crm: &Arc<dyn Crm>,
    object: &Arc<Object>,
    mut all: Vec<Remembered>,
) -> Result<Vec<Remembered>, Failure> {
    let answers = match answers(cx, crm, object, &all).await {
        Ok(answers) => answers,
        Err(failure) => {
            cx.log(Level::Warning, format!("records in doubt are set aside, not looked up: {failure}")).await?;
            return Ok(all);
        }
    };
    if answers.is_empty() {
        return Ok(all);
    }
    cx.memory().settle(&answers).await?;
    let told: Vec<(MemoryId, String)> = answers.iter().map(|(id, answer)| (*id, answer.in_words())).collect();
    engine::desk::answered(cx, &told).await?;
    let created = answers.iter().filter(|(_, answer)| *answer != Answer::NotCreated).count();
    let message = format!("{} records in doubt are settled: the CRM has {created} of them", answers.len());
    cx.log(Level::Info, message).await?;
    let mut answers: HashMap<MemoryId, Answer> = answers.into_iter().collect();
    for remembered in &mut all {
        match answers.remove(&remembered.id) {
            Some(Answer::Created { id }) => remembered.state = State::Created { id },
            Some(Answer::NotCreated) => remembered.state = State::Over,
            None => {}
        }
    }
    all.retain(|remembered| remembered.state != State::Over);
    Ok(all)
}

async fn answers(
    cx: &Cx,
    crm: &Arc<dyn Crm>,
    object: &Arc<Object>,
    all: &[Remembered],
) -> Result<Vec<(MemoryId, Answer)>, Failure> {
    let (mut named, mut others): (Vec<Question<'_>>, BTreeMap<&str, Vec<Question<'_>>>) = Default::default();
    for Remembered { id, export, state, .. } in all {
        match state {
            State::InDoubt(doubt) if doubt.id.is_some() => named.push((*id, doubt)),
            State::InDoubt(doubt) => others.entry(&export.name).or_default().push((*id, doubt)),
            State::Created { .. } | State::Over => {}
        }
    }
    if named.is_empty() && others.is_empty() {
        return Ok(Vec::new());
    }
    let now = crm.now().await?;
    let mut answers = by_id(crm, object, &named, now).await?;
    let mut explained: HashSet<String> = HashSet::new();
    let mut complete = HashSet::new();
    for name in others.keys() {
        if let Some(ids) = cx.memory().explained(name).await? {
            complete.insert(*name);
            explained.extend(ids);
        }
    }
    for (name, questions) in others {
        if complete.contains(name) {
            answers.extend(by_values(crm, object, &questions, &explained, now).await?);
        }
    }
    Ok(answers)
}

/// Those with an id that we chose are there, or not.
async fn by_id(
    crm: &Arc<dyn Crm>,
    object: &Arc<Object>,
    questions: &[Question<'_>],
    now: Timestamp,
) -> Result<Vec<(MemoryId, Answer)>, Failure> {
    let Some(id) = object.fields.get(&object.id) else { return Ok(Vec::new()) };
    let read = Read::new(Arc::clone(object), vec![ReadField { field: id.clone(), raw: false }]);
    let mut answers = Vec::new();
    for some in questions.chunks(FETCH_MAX) {
        let ids: Vec<String> = some.iter().filter_map(|(_, doubt)| doubt.id.clone()).collect();
        let page = crm.fetch(&read, &object.id, &ids).await?;
        let there: HashSet<String> = ids_of(&page, object).into_iter().map(|id| id.to_lowercase()).collect();
        for (question, doubt) in some {
            let Some(id) = &doubt.id else { continue };
            if there.contains(&id.to_lowercase()) {
                answers.push((*question, Answer::Created { id: Some(id.clone()) }));
            } else if is_over(doubt, now) {
                answers.push((*question, Answer::NotCreated));
            }
        }
    }
    Ok(answers)
}

/// Whether what was sent can no longer take hold.
fn is_over(doubt: &Doubt, now: Timestamp) -> bool {
    doubt.until.is_some_and(|until| now > until)
}

async fn by_values(
    crm: &Arc<dyn Crm>,
    object: &Arc<Object>,
    questions: &[Question<'_>],
    explained: &HashSet<String>,
    now: Timestamp,
) -> Result<Vec<(MemoryId, Answer)>, Failure> {
    let since: Option<Vec<Timestamp>> = questions.iter().map(|(_, doubt)| doubt.since).collect();
    let until: Option<Vec<Timestamp>> = questions.iter().map(|(_, doubt)| doubt.until).collect();
    let (Some(since), Some(until)) =
        (since.and_then(|all| all.into_iter().min()), until.and_then(|all| all.into_iter().max()))
    else {
        return Ok(Vec::new());
    };
    let names = compared(object, questions);
    let fields = names.iter().chain([&object.id]).filter_map(|name| object.fields.get(name));
    let fields = fields.map(|field| ReadField { field: field.clone(), raw: false }).collect();
    let read = Read::new(Arc::clone(object), fields);
    let Some(page) = crm.created(&read, (since, until), CREATED_MAX).await? else { return Ok(Vec::new()) };
    let mut candidates: HashMap<String, Vec<String>> = HashMap::new();
    for (row, id) in ids_of(&page, object).into_iter().enumerate() {
        if !explained.contains(&id) {
            candidates.entry(of_record(crm, object, &names, &page.records, row)).or_default().push(id);
        }
    }
    let mut asked: BTreeMap<String, Vec<&Question<'_>>> = BTreeMap::new();
    for question in questions {
        asked.entry(of_question(crm, object, &names, question.1)).or_default().push(question);
    }
    let (mut answers, mut open) = (Vec::new(), Vec::new());
    for (values, questions) in asked {
        match candidates.get(&values) {
            Some(ids) if ids.len() == questions.len() && !names.is_empty() => {
                let ids = candidates.remove(&values).unwrap_or_default();
                let created = |(question, id): (&Question<'_>, String)| (question.0, Answer::Created { id: Some(id) });
                answers.extend(questions.into_iter().zip(ids).map(created));
            }
            _ => open.extend(questions),
        }
    }
    if candidates.is_empty() {
        let over = open.into_iter().filter(|(_, doubt)| is_over(doubt, now));
        answers.extend(over.map(|(question, _)| (question, Answer::NotCreated)));
    }
    Ok(answers)
}

/// The fields that were sent of all questions and can be read back.
fn compared(object: &Object, questions: &[Question<'_>]) -> Vec<String> {
    let Some((_, first)) = questions.first() else { return Vec::new() };
    let is_readable = |name: &&String| object.fields.get(*name).is_some_and(|field| field.readable);
    let by_all = |name: &&String| questions.iter().all(|(_, doubt)| doubt.sent.contains_key(*name));
    first.sent.keys().filter(|name| !name.contains('.')).filter(is_readable).filter(by_all).cloned().collect()
}

fn of_question(crm: &Arc<dyn Crm>, object: &Object, names: &[String], doubt: &Doubt) -> String {
    let value = |name: &String| written(crm, object, name, doubt.sent.get(name).unwrap_or(&Json::Null));
    names.iter().map(value).collect::<Vec<_>>().join("\0")
}

fn of_record(crm: &Arc<dyn Crm>, object: &Object, names: &[String], records: &RecordBatch, row: usize) -> String {
    let value = |name: &String| {
        let value = records.column_by_name(name).map(|column| Value::at(column.as_ref(), row).to_json());
        written(crm, object, name, &value.unwrap_or_default())
    };
    names.iter().map(value).collect::<Vec<_>>().join("\0")
}

/// A value as it is compared: an empty text is none, and text loses the blanks at its ends, as CRMs store it.
fn written(crm: &Arc<dyn Crm>, object: &Object, name: &str, value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => {
            let text = text.trim();
            let is_lookup = object.fields.get(name).is_some_and(|field| !field.targets.is_empty());
            if is_lookup { crm.key(object, name, text).unwrap_or_else(|_| text.to_owned()) } else { text.to_owned() }
        }
        other => other.to_string(),
    }
}

fn ids_of(page: &Page, object: &Object) -> Vec<String> {
    let ids = page.records.column_by_name(&object.id).and_then(|ids| ids.as_string_opt::<i32>());
    ids.into_iter().flatten().map(|id| id.unwrap_or_default().to_owned()).collect()
}
