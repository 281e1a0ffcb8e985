//! Questions about areas that come with a body, answered at once or as jobs.
//!
//! Both ways run on the server's one pool and under a budget. A job's future is held by a task of
//! its own: dismissing the job, or the server's end, drops it, and that cancels the work. Jobs are
//! known only by their unguessable names and are forgotten, the oldest first.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Reply};
use super::documents::{Client, base_url};
use super::{App, refused};
use crate::analysis::report::pieces::Detail;
use crate::analysis::report::rules::RuleSet;
use crate::analysis::report::{Boundary, Limits, Report, ReportLayer, Reporter};
use crate::analysis::{self, Group, Progress, Selection};
use crate::protocol::Problem;
use crate::protocol::processes::execution::{
    self, Asked, Execution, Form, JobInfo, JobStatus, LayerInput, MAX_AREA_M2, MAX_BODY_BYTES,
    MAX_BOUNDARIES_ASYNC, MAX_BOUNDARIES_SYNC, Process, Wrapping,
};
use crate::protocol::processes::page::{Sheet, page};
use crate::protocol::processes::report::{DocumentWriter, Sealed, pieces, sealed};
use crate::query::Budget;

/// Time of one job.
const JOB_TIME: Duration = Duration::from_secs(15 * 60);
/// Jobs remembered, and of these not yet finished.
const MAX_JOBS: usize = 200;
const MAX_UNFINISHED: usize = 32;
/// Results kept, all together and each.
const MAX_RESULT_BYTES: usize = 256 << 20;
const MAX_ONE_RESULT_BYTES: usize = 64 << 20;
/// Vertices of the features one boundary's report may read.
const MAX_FEATURE_VERTICES: u64 = 5_000_000;
/// Features listed per layer of a report.
const LISTED_FEATURES: usize = 2000;
/// Features of all layers of an overlay that waits for its answer, and of one that does not.
const MAX_OVERLAY_FEATURES_SYNC: u64 = 200_000;
const MAX_OVERLAY_FEATURES_ASYNC: u64 = 5_000_000;
/// Rows of an overlay's table.
const MAX_OVERLAY_ROWS: usize = 500_000;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// What is shared by all questions about areas.
pub struct Processes {
    jobs: Mutex<VecDeque<Arc<Job>>>,
    /// Jobs that run at once: the rest of the pool is for those who wait for an answer.
    places: Arc<Semaphore>,
}

struct Job {
    id: String,
    process: Process,
    created: SystemTime,
    /// Parts done and parts in all.
    progress: [AtomicU64; 2],
    state: Mutex<JobState>,
}

struct JobState {
    status: JobStatus,
    started: Option<SystemTime>,
    finished: Option<SystemTime>,
    result: Option<Result<Output, Problem>>,
    task: Option<AbortHandle>,
}

/// A finished answer.
#[derive(Debug, Clone)]
struct Output {
    bytes: Bytes,
    media_type: &'static str,
}

impl Processes {
    pub fn new(threads: usize) -> Processes {
        Processes {
            jobs: Mutex::default(),
            places: Arc::new(Semaphore::new((threads / 2).max(1))),
        }
    }

    fn jobs(&self) -> MutexGuard<'_, VecDeque<Arc<Job>>> {
        self.jobs.lock().expect("no panic while held")
    }

    fn job(&self, id: &str) -> Result<Arc<Job>, Problem> {
        let jobs = self.jobs();
        let job = jobs.iter().find(|job| job.id == id);
        job.cloned().ok_or_else(|| Problem::no_such_job(id))
    }

    /// Takes a new job in, forgetting the oldest finished ones when there are too many.
    fn admit(&self, job: &Arc<Job>) -> Result<(), Problem> {
        let mut jobs = self.jobs();
        let unfinished = jobs.iter().filter(|job| !job.is_finished()).count();
        if unfinished >= MAX_UNFINISHED {
            return Err(Problem::busy());
        }
        jobs.push_back(job.clone());
        while jobs.len() > MAX_JOBS {
            let oldest = jobs.iter().position(|job| job.is_finished());
            oldest.and_then(|oldest| jobs.remove(oldest));
        }
        Ok(())
    }

    /// Forgets the oldest results until all fit.
    fn make_room(&self) {
        let mut jobs = self.jobs();
        while jobs.iter().map(|job| job.result_bytes()).sum::<usize>() > MAX_RESULT_BYTES {
            let oldest = jobs.iter().position(|job| job.result_bytes() > 0);
            oldest.and_then(|oldest| jobs.remove(oldest));
        }
    }
}

impl Job {
    fn new(process: Process) -> Job {
        let digits = || RandomState::new().build_hasher().finish();
        Job {
            id: format!("{:016x}{:016x}", digits(), digits()),
            process,
            created: SystemTime::now(),
            progress: Default::default(),
            state: Mutex::new(JobState {
                status: JobStatus::Accepted,
                started: None,
                finished: None,
                result: None,
                task: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, JobState> {
        self.state.lock().expect("no panic while held")
    }

    fn is_finished(&self) -> bool {
        self.state().finished.is_some()
    }

    fn result_bytes(&self) -> usize {
        match &self.state().result {
            Some(Ok(output)) => output.bytes.len(),
            _ => 0,
        }
    }

    fn info(&self) -> JobInfo {
        let state = self.state();
        let [done, all] = self.progress.each_ref().map(|p| p.load(Ordering::Relaxed));
        let progress_percent = match state.status {
            JobStatus::Successful => 100,
            _ if all == 0 => 0,
            _ => (done * 100 / all).min(99) as u32,
        };
        let message = match &state.result {
            Some(Err(problem)) => Some(problem.detail.clone()),
            _ => None,
        };
        JobInfo {
            id: self.id.clone(),
            process: self.process,
            status: state.status,
            message,
            progress_percent,
            created: self.created,
            started: state.started,
            finished: state.finished,
        }
    }

    fn finish(&self, result: Result<Output, Problem>) {
        let mut state = self.state();
        if state.finished.is_some() {
            return;
        }
        state.status = match &result {
            Ok(_) => JobStatus::Successful,
            Err(_) => JobStatus::Failed,
        };
        state.finished = Some(SystemTime::now());
        state.result = Some(result);
        state.task = None;
    }
}

/// Answers a request below `/ogc`.
pub async fn answer<B>(
    app: &Arc<App>,
    asked: Asked,
    body: B,
    client: Client<'_>,
) -> Result<Reply, Problem>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if !matches!(asked, Asked::Execute(_)) && !body.is_end_stream() {
        return Err(Problem::body_refused());
    }
    let base = base_url(app, client.headers);
    let document = match asked {
        Asked::Landing => execution::landing(&base),
        Asked::Conformance => execution::conformance(),
        Asked::Processes => execution::list(&base),
        Asked::Describe(process) => execution::describe(process, &base),
        Asked::Execute(process) => return execute(app, process, body, &base, client).await,
        Asked::Job(id) => execution::job(&app.processes.job(&id)?.info(), &base),
        Asked::Dismiss(id) => dismiss(app, &id, &base)?,
        Asked::Results(id) => return results(app, &id, client.id),
    };
    Ok(plain(document, client.id))
}

fn plain(document: Value, id: HeaderValue) -> Reply {
    answer::plain(document.to_string().into_bytes(), JSON, id)
}

async fn execute<B>(
    app: &Arc<App>,
    process: Process,
    body: B,
    base: &str,
    client: Client<'_>,
) -> Result<Reply, Problem>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if !is_json(client.headers) {
        return Err(Problem::not_json());
    }
    let limited = Limited::new(body, MAX_BODY_BYTES).collect();
    let body = timeout_at(client.deadline, Box::pin(limited)).await;
    let body = body.map_err(|_| Problem::timeout())?;
    let body = body
        .map_err(|_| Problem::too_large(format!("a body of more than {MAX_BODY_BYTES} bytes")))?
        .to_bytes();
    if prefers_async(client.headers) {
        return start(app, process, &body, base, client.id);
    }
    let job_app = app.clone();
    let run = move |budget: &Budget| {
        let (execution, wrapping) = execution::read(process, &body, MAX_BOUNDARIES_SYNC)?;
        job_app.make(&execution, wrapping, budget, false, &|_, _| {})
    };
    let output = app.pool.run(client.deadline, run).await;
    let output = output.map_err(|r| refused(app, r))??;
    Ok(answer::plain(
        output.bytes.into(),
        output.media_type,
        client.id,
    ))
}

/// Takes a job in and answers with where it can be looked at.
fn start(
    app: &Arc<App>,
    process: Process,
    body: &[u8],
    base: &str,
    id: HeaderValue,
) -> Result<Reply, Problem> {
    let (execution, wrapping) = execution::read(process, body, MAX_BOUNDARIES_ASYNC)?;
    let job = Arc::new(Job::new(process));
    app.processes.admit(&job)?;
    let (task_app, task_job) = (app.clone(), job.clone());
    let task = tokio::spawn(async move {
        let result = run_job(&task_app, &task_job, execution, wrapping).await;
        if let Err(problem) = &result {
            let (job, cause) = (&task_job.id, &problem.cause);
            tracing::info!(job, code = problem.code, ?cause, "job failed");
        }
        task_job.finish(result);
        task_app.processes.make_room();
    });
    let mut state = job.state();
    if state.finished.is_none() {
        state.task = Some(task.abort_handle());
    }
    drop(state);
    let mut reply = plain(execution::job(&job.info(), base), id);
    *reply.status_mut() = StatusCode::CREATED;
    let headers = reply.headers_mut();
    let location = format!("{base}/ogc/jobs/{}", job.id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, location);
    }
    headers.insert(
        PREFERENCE_APPLIED,
        HeaderValue::from_static("respond-async"),
    );
    Ok(reply)
}

async fn run_job(
    app: &Arc<App>,
    job: &Arc<Job>,
    execution: Execution,
    wrapping: Wrapping,
) -> Result<Output, Problem> {
    let deadline = Instant::now() + JOB_TIME;
    let place = app.processes.places.clone().acquire_owned();
    let place = timeout_at(deadline, place).await;
    let place = place
        .map_err(|_| Problem::timeout())?
        .expect("the semaphore is never closed");
    {
        let mut state = job.state();
        state.status = JobStatus::Running;
        state.started = Some(SystemTime::now());
    }
    let (job_app, running) = (app.clone(), job.clone());
    let run = move |budget: &Budget| {
        let progress = |done: u64, all: u64| {
            running.progress[1].store(all, Ordering::Relaxed);
            running.progress[0].store(done, Ordering::Relaxed);
        };
        job_app.make(&execution, wrapping, budget, true, &progress)
    };
    let output = app.pool.run(deadline, run).await;
    drop(place);
    output.map_err(|r| refused(app, r))?
}

fn dismiss(app: &Arc<App>, id: &str, base: &str) -> Result<Value, Problem> {
    let job = app.processes.job(id)?;
    {
        let mut state = job.state();
        if let Some(task) = state.task.take() {
            task.abort();
        }
        state.status = JobStatus::Dismissed;
        state.finished.get_or_insert_with(SystemTime::now);
        state.result = None;
    }
    app.processes.jobs().retain(|known| known.id != id);
    Ok(execution::job(&job.info(), base))
}

fn results(app: &Arc<App>, id: &str, request_id: HeaderValue) -> Result<Reply, Problem> {
    let job = app.processes.job(id)?;
    let state = job.state();
    match &state.result {
        Some(Ok(output)) => Ok(answer::plain(
            output.bytes.clone().into(),
            output.media_type,
            request_id,
        )),
        Some(Err(problem)) => Err(problem.clone()),
        None => Err(Problem::result_not_ready(id)),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let media_type = value.split(';').next().unwrap_or_default().trim();
            media_type.eq_ignore_ascii_case(JSON)
        })
}

/// `Prefer: respond-async` (RFC 7240), among other preferences.
fn prefers_async(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

impl App {
    /// Does the work of an execution.
    fn make(
        &self,
        execution: &Execution,
        wrapping: Wrapping,
        budget: &Budget,
        in_background: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Output, Problem> {
        let output = match execution {
            Execution::Report {
                boundaries,
                layers,
                outlines,
                detail,
                form,
            } => {
                let reporter = self.reporter(layers)?;
                let question = Question {
                    boundaries,
                    outlines: *outlines,
                    detail: *detail,
                    form: *form,
                };
                let output = make_report(&reporter, question, budget, progress)?;
                wrapped(output, Process::Report, wrapping)
            }
            Execution::Overlay { layers, mode } => {
                let mut snapshots = Vec::new();
                for (name, _) in layers {
                    snapshots.push(self.snapshot(name)?);
                }
                let features: u64 = snapshots
                    .iter()
                    .map(|s| s.vector().map_or(0, |(_, info)| info.features))
                    .sum();
                let most = if in_background {
                    MAX_OVERLAY_FEATURES_ASYNC
                } else {
                    MAX_OVERLAY_FEATURES_SYNC
                };
                if features > most {
                    return Err(Problem::too_large(format!(
                        "the layers have {features} features, at most {most} are overlaid {}",
                        if in_background {
                            "here; use onemap overlay"
                        } else {
                            "while you wait; ask with Prefer: respond-async"
                        }
                    )));
                }
                let selections: Vec<Selection<'_>> = snapshots
                    .iter()
                    .zip(layers)
                    .map(|(snapshot, (_, grouping))| Selection {
                        snapshot,
                        grouping: grouping.clone(),
                    })
                    .collect();
                let report = analysis::areas(&selections, *mode, budget, &|at| {
                    if let Progress::Overlaying(done, all) = at {
                        progress(done, all.max(1));
                    }
                })?;
                if report.rows.len() > MAX_OVERLAY_ROWS {
                    return Err(Problem::too_large(format!(
                        "the table has {} rows, at most {MAX_OVERLAY_ROWS} are sent",
                        report.rows.len()
                    )));
                }
                let rows: Vec<Value> = report
                    .rows
                    .iter()
                    .map(|row| {
                        let groups: Vec<Option<&str>> = row.groups.iter().map(shown).collect();
                        let inside: Vec<bool> =
                            row.groups.iter().map(|g| *g != Group::Outside).collect();
                        json!({ "groups": groups, "inside": inside, "area_m2": row.area_m2 })
                    })
                    .collect();
                let table = json!({ "layers": report.layers, "rows": rows });
                wrapped(
                    Output {
                        bytes: table.to_string().into(),
                        media_type: JSON,
                    },
                    Process::Overlay,
                    wrapping,
                )
            }
        };
        if output.bytes.len() > MAX_ONE_RESULT_BYTES {
            return Err(Problem::too_large(format!(
                "the result has {} bytes, at most {MAX_ONE_RESULT_BYTES} are sent",
                output.bytes.len()
            )));
        }
        Ok(output)
    }

    fn reporter(&self, layers: &[LayerInput]) -> Result<Reporter, Problem> {
        let layers = layers
            .iter()
            .map(|layer| {
                Ok(ReportLayer {
                    snapshot: self.snapshot(&layer.name)?,
                    field: layer.field.clone(),
                })
            })
            .collect::<Result<Vec<_>, Problem>>()?;
        let rules = RuleSet::of_workspace(self.store.root()).map_err(Problem::internal)?;
        let limits = Limits {
            vertices: MAX_FEATURE_VERTICES,
            area_m2: MAX_AREA_M2,
            listed_features: LISTED_FEATURES,
        };
        Ok(Reporter::new(layers, Arc::new(rules), limits)?)
    }
}

struct Question<'a> {
    boundaries: &'a [Boundary],
    outlines: bool,
    detail: Detail,
    form: Form,
}

fn make_report(
    reporter: &Reporter,
    question: Question<'_>,
    budget: &Budget,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Output, Problem> {
    let boundaries = question.boundaries;
    let all = boundaries.len() as u64;
    let done = AtomicU64::new(0);
    let one = |boundary: &Boundary| -> Result<((Report, Sealed), Value), Problem> {
        let (report, shapes) = reporter.detailed(boundary, question.detail, budget)?;
        let sealed = sealed(&report).map_err(Problem::internal)?;
        let pieces = pieces(&report, &shapes);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, all);
        Ok(((report, sealed), pieces))
    };
    let made = reports_of(boundaries, one)?;
    let (reports, pieces): (Vec<(Report, Sealed)>, Vec<Value>) = made.into_iter().unzip();
    let pieces = question.detail.shapes.then_some(pieces);
    if question.form == Form::Html {
        return html_of(reporter, boundaries, &reports, budget);
    }
    let outlines = if question.outlines {
        let outlines = boundaries.iter().map(|boundary| reporter.outline(boundary));
        Some(outlines.collect::<Result<Vec<_>, _>>()?)
    } else {
        None
    };
    let size = reports
        .iter()
        .map(|(_, sealed)| sealed.json.len() + 2)
        .sum::<usize>()
        + 100;
    let written = || -> std::io::Result<Vec<u8>> {
        let mut document = DocumentWriter::new(Vec::with_capacity(size))?;
        for (_, sealed) in &reports {
            document.push(sealed)?;
        }
        document.finish(outlines.as_deref(), pieces.as_deref())
    };
    Ok(Output {
        bytes: written().map_err(Problem::internal)?.into(),
        media_type: JSON,
    })
}

fn html_of(
    reporter: &Reporter,
    boundaries: &[Boundary],
    reports: &[(Report, Sealed)],
    budget: &Budget,
) -> Result<Output, Problem> {
    let mut drawings = Vec::with_capacity(reports.len());
    for (boundary, (report, _)) in boundaries.iter().zip(reports) {
        drawings.push(reporter.drawing(boundary, report, budget)?);
    }
    let sheets: Vec<Sheet<'_>> = reports
        .iter()
        .zip(&drawings)
        .map(|((report, sealed), drawing)| Sheet {
            report,
            hash: &sealed.hash,
            drawing,
        })
        .collect();
    Ok(Output {
        bytes: page("地块分析报告", &sheets).into(),
        media_type: HTML,
    })
}

/// One after the other when there are few: a request that waits shall not wait for the pool.
fn reports_of<T: Send>(
    boundaries: &[Boundary],
    one: impl Fn(&Boundary) -> Result<T, Problem> + Sync,
) -> Result<Vec<T>, Problem> {
    use rayon::prelude::*;
    match boundaries {
        [boundary] => Ok(vec![one(boundary)?]),
        many => many.par_iter().map(&one).collect(),
    }
}

fn shown(group: &Group) -> Option<&str> {
    match group {
        Group::Value(value) => Some(value),
        Group::Null | Group::Outside => None,
    }
}

fn wrapped(output: Output, process: Process, wrapping: Wrapping) -> Output {
    match wrapping {
        Wrapping::Raw => output,
        Wrapping::Document => {
            let mut bytes = format!("{{\"{}\":", process.output()).into_bytes();
            if output.media_type == JSON {
                bytes.extend_from_slice(&output.bytes);
            } else {
                let text = String::from_utf8_lossy(&output.bytes);
                let value = json!({ "value": text, "mediaType": "text/html" });
                bytes.extend_from_slice(value.to_string().as_bytes());
            }
            bytes.push(b'}');
            Output {
                bytes: bytes.into(),
                media_type: JSON,
            }
        }
    }
}
