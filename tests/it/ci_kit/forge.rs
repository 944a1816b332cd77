//! A stand-in for the two services' APIs: comments, merged requests, kept plans. As much as the kit asks for, in
//! pages, and nothing that it does not ask for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, patch, put};
use serde_json::{Value as Json, json};

/// What the service keeps.
#[derive(Default)]
pub struct Kept {
    /// Bodies of comments, in their order; whether the kit's own account wrote them.
    pub comments: Vec<(String, bool)>,
    /// Kept plans: the name, the commit, the bytes.
    pub plans: Vec<(String, String, Vec<u8>)>,
    /// The request that brought a commit: commit, number, commit that was reviewed.
    pub merged: Option<(String, u64, String)>,
}

/// The service, on a loopback port.
#[derive(Clone)]
pub struct Forge {
    kept: Arc<Mutex<Kept>>,
    /// Its address.
    pub url: String,
}

/// The token that it takes.
pub const TOKEN: &str = "a-token-of-the-service";

type Answer = Result<axum::response::Response, StatusCode>;
type Words = Query<BTreeMap<String, String>>;

impl Forge {
    pub fn open() -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let forge = Forge { kept, url };
        let router = Router::new()
            .route("/repos/o/r/issues/{number}/comments", get(comments).post(add_comment))
            .route("/repos/o/r/issues/comments/{id}", patch(edit_comment))
            .route("/repos/o/r/commits/{sha}/pulls", get(pulls))
            .route("/repos/o/r/actions/artifacts", get(artifacts))
            .route("/archives/{at}", get(archive))
            .route("/projects/7/merge_requests/{number}/notes", get(comments).post(add_comment))
            .route("/projects/7/merge_requests/{number}/notes/{id}", put(edit_note))
            .route("/projects/7/repository/commits/{sha}/merge_requests", get(requests))
            .route("/projects/7/merge_requests/{number}/pipelines", get(pipelines))
            .route("/projects/7/pipelines/{at}/jobs", get(jobs))
            .route("/projects/7/jobs/{at}/artifacts/stack.plan", get(kept_plan))
            .with_state(forge.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                axum::serve(listener, router).await.ok();
            });
        });
        forge
    }

    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The comments that begin as the kit's do.
    pub fn ours(&self) -> Vec<String> {
        let kept = self.kept();
        kept.comments.iter().filter(|(_, ours)| *ours).map(|(body, _)| body.clone()).collect()
    }
}

fn admit(headers: &HeaderMap) -> Result<(), StatusCode> {
    let has = |name: &str, value: &str| headers.get(name).is_some_and(|held| held.as_bytes() == value.as_bytes());
    let admitted = has("authorization", &format!("Bearer {TOKEN}")) || has("private-token", TOKEN);
    admitted.then_some(()).ok_or(StatusCode::UNAUTHORIZED)
}

/// One page of a list.
fn page(list: Vec<Json>, words: &BTreeMap<String, String>) -> Json {
    let word = |name: &str, usual: usize| words.get(name).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (size, number) = (word("per_page", 30), word("page", 1).max(1));
    list.into_iter().skip(size * (number - 1)).take(size).collect()
}

fn body(bytes: &Bytes) -> Result<String, StatusCode> {
    let json: Json = serde_json::from_slice(bytes).map_err(|_| StatusCode::BAD_REQUEST)?;
    let text = json["body"].as_str().filter(|text| text.chars().count() <= 65_536);
    text.map(str::to_owned).ok_or(StatusCode::UNPROCESSABLE_ENTITY)
}

async fn comments(State(forge): State<Forge>, headers: HeaderMap, Query(words): Words) -> Answer {
    admit(&headers)?;
    let kept = forge.kept();
    let each = |(id, (body, ours)): (usize, &(String, bool))| {
        json!({
            "id": id, "body": body, "user": {"type": if *ours { "Bot" } else { "User" }},
            "url": format!("{}/repos/o/r/issues/comments/{id}", forge.url),
        })
    };
    let list = kept.comments.iter().enumerate().map(each).collect();
    Ok(axum::Json(page(list, &words)).into_response())
}

async fn add_comment(State(forge): State<Forge>, headers: HeaderMap, bytes: Bytes) -> Answer {
    admit(&headers)?;
    let text = body(&bytes)?;
    forge.kept().comments.push((text, true));
    Ok((StatusCode::CREATED, axum::Json(json!({}))).into_response())
}

async fn edit_comment(State(forge): State<Forge>, headers: HeaderMap, Path(id): Path<usize>, bytes: Bytes) -> Answer {
    admit(&headers)?;
    let text = body(&bytes)?;
    forge.kept().comments.get_mut(id).ok_or(StatusCode::NOT_FOUND)?.0 = text;
    Ok(axum::Json(json!({})).into_response())
}

async fn edit_note(
    State(forge): State<Forge>,
    headers: HeaderMap,
    Path((_, id)): Path<(u64, usize)>,
    bytes: Bytes,
) -> Answer {
    edit_comment(State(forge), headers, Path(id), bytes).await
}

async fn pulls(State(forge): State<Forge>, headers: HeaderMap, Path(sha): Path<String>) -> Answer {
    admit(&headers)?;
    let kept = forge.kept();
    let merged = kept.merged.iter().filter(|(commit, ..)| *commit == sha);
    let list = merged.map(|(_, number, head)| json!({"number": number, "merged_at": "then", "head": {"sha": head}}));
    Ok(axum::Json(list.collect::<Json>()).into_response())
}

async fn requests(State(forge): State<Forge>, headers: HeaderMap, Path(sha): Path<String>) -> Answer {
    admit(&headers)?;
    let kept = forge.kept();
    let merged = kept.merged.iter().filter(|(commit, ..)| *commit == sha);
    let list = merged.map(|(_, number, head)| json!({"iid": number, "state": "merged", "sha": head}));
    Ok(axum::Json(list.collect::<Json>()).into_response())
}

async fn artifacts(State(forge): State<Forge>, headers: HeaderMap, Query(words): Words) -> Answer {
    admit(&headers)?;
    let kept = forge.kept();
    let named = kept.plans.iter().enumerate().filter(|(_, (name, ..))| Some(name) == words.get("name"));
    let list = named.map(|(at, (name, head, _))| {
        let archive = format!("{}/archives/{at}", forge.url);
        json!({"name": name, "expired": false, "workflow_run": {"head_sha": head}, "archive_download_url": archive})
    });
    Ok(axum::Json(json!({"artifacts": list.collect::<Json>()})).into_response())
}

/// A ZIP archive of one plan, as the service packs what it keeps.
async fn archive(State(forge): State<Forge>, headers: HeaderMap, Path(at): Path<usize>) -> Answer {
    admit(&headers)?;
    let plan = forge.kept().plans.get(at).map(|(.., bytes)| bytes.clone()).ok_or(StatusCode::NOT_FOUND)?;
    let folder = tempfile::tempdir().expect("tempdir");
    std::fs::write(folder.path().join("stack.plan"), plan).expect("writable");
    let packed = std::process::Command::new("python3")
        .args(["-m", "zipfile", "-c", "plan.zip", "stack.plan"])
        .current_dir(folder.path())
        .status();
    assert!(packed.is_ok_and(|status| status.success()), "python3 packs");
    Ok(std::fs::read(folder.path().join("plan.zip")).expect("readable").into_response())
}

async fn pipelines(State(forge): State<Forge>, headers: HeaderMap, Query(words): Words) -> Answer {
    admit(&headers)?;
    let kept = forge.kept();
    let list = kept.plans.iter().enumerate().map(|(at, (_, head, _))| json!({"id": at, "sha": head}));
    // The newest first.
    Ok(axum::Json(page(list.rev().collect(), &words)).into_response())
}

async fn jobs(headers: HeaderMap, Path(at): Path<usize>) -> Answer {
    admit(&headers)?;
    Ok(axum::Json(json!([{"id": 900, "name": "lint"}, {"id": at, "name": "plan"}])).into_response())
}

async fn kept_plan(State(forge): State<Forge>, headers: HeaderMap, Path(at): Path<usize>) -> Answer {
    admit(&headers)?;
    let plan = forge.kept().plans.get(at).map(|(.., bytes)| bytes.clone()).ok_or(StatusCode::NOT_FOUND)?;
    Ok(plan.into_response())
}
