//! Watches: a stream of changes from a revision on, filtered and shaped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use futures_util::stream;
use serde_json::{Value as Json, json};

use super::api::Status;
use super::codec::{self, Accepted, Form};
use super::registry::Resource;
use super::requests::{self, Query, Selection};
use super::server::ApiServer;
use super::store::Event;
use super::{builtin, fault, table};
use crate::env::clock::{Sleep, Timestamp};

/// How long a watch lives when its client does not say; real servers end them after 30 to 60 minutes.
const DEFAULT_LIFE: Duration = Duration::from_secs(45 * 60);

/// How often a bookmark tells an idle client where the server is.
const BOOKMARK: Duration = Duration::from_secs(60);

struct Watch {
    server: Arc<ApiServer>,
    resource: Arc<Resource>,
    selection: Selection,
    accepted: Accepted,
    include: Option<String>,
    bookmarks: bool,
    /// Changes up to here are told.
    revision: u64,
    pending: VecDeque<Bytes>,
    first_row: bool,
    end: Sleep,
    next_bookmark: Timestamp,
    done: bool,
}

/// Begins a watch.
pub(crate) fn start(
    server: Arc<ApiServer>,
    resource: Arc<Resource>,
    selection: Selection,
    query: &Query,
    accepted: Accepted,
) -> Result<Response<Body>, Status> {
    requests::check_list_options(query, true)?;
    let asked = requests::revision(query).map_err(fault::unclassified)?;
    let life = requests::timeout_seconds(query)?.map_or(DEFAULT_LIFE, Duration::from_secs);
    let bookmarks = query.flag("allowWatchBookmarks");
    let initial = query.flag("sendInitialEvents") || asked.is_none_or(|revision| revision == 0);
    let end = server.clock.sleep(life);
    let next_bookmark = server.clock.now().plus(BOOKMARK);
    let include = query.get("includeObject").map(str::to_owned);
    let (current, objects) = server.store.list(&resource.table(), None);
    let mut watch = Watch {
        revision: if initial { current } else { asked.unwrap_or(current) },
        server,
        resource,
        selection,
        accepted,
        include,
        bookmarks,
        pending: VecDeque::new(),
        first_row: true,
        end,
        next_bookmark,
        done: false,
    };
    if initial {
        for object in objects {
            if watch.selection.matches(&object) {
                watch.tell("ADDED", &object);
            }
        }
        if bookmarks {
            watch.bookmark(true);
        }
    }
    let body = stream::unfold(watch, |mut watch| async move {
        let chunk = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), watch))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

impl Watch {
    fn line(&mut self, kind: &str, object: Json) {
        let mut bytes = serde_json::to_vec(&json!({"type": kind, "object": object})).unwrap_or_default();
        bytes.push(b'\n');
        self.pending.push_back(Bytes::from(bytes));
    }

    fn tell(&mut self, kind: &str, object: &Arc<Json>) {
        let object = builtin::view(&self.resource, object.clone());
        let shown = match self.accepted.form {
            Form::Metadata => codec::partial(&object),
            Form::Table => {
                let mut table = table::one(&self.server, &self.resource, &object, self.include.as_deref());
                if !std::mem::take(&mut self.first_row) {
                    table["columnDefinitions"] = Json::Null;
                }
                table
            }
            _ => (*object).clone(),
        };
        self.line(kind, shown);
    }

    fn bookmark(&mut self, end_of_initial: bool) {
        let mut object = json!({
            "kind": self.resource.kind, "apiVersion": self.resource.api_version(),
            "metadata": {"resourceVersion": self.revision.to_string()},
        });
        if end_of_initial {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        self.line("BOOKMARK", object);
    }

    /// A change as this watch sees it: what leaves its selection is deleted to it.
    fn see(&mut self, event: &Event) {
        let had = event.old.as_ref().is_some_and(|object| self.selection.matches(object));
        let has = event.new.as_ref().is_some_and(|object| self.selection.matches(object));
        match (had, has, &event.new, &event.old) {
            (false, true, Some(new), _) => self.tell("ADDED", new),
            (true, true, Some(new), _) => self.tell("MODIFIED", new),
            (true, false, Some(new), Some(old)) => {
                let mut last = (**old).clone();
                super::store::set_revision(&mut last, super::store::revision_of(new));
                self.tell("DELETED", &Arc::new(last));
            }
            (true, false, None, Some(old)) => self.tell("DELETED", old),
            _ => {}
        }
    }

    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut revisions = self.server.store.revisions();
        loop {
            if let Some(chunk) = self.pending.pop_front() {
                return Some(chunk);
            }
            if self.done {
                return None;
            }
            match self.server.store.since(&self.resource.table(), self.revision) {
                Ok((current, events)) => {
                    for event in &events {
                        self.see(event);
                    }
                    self.revision = self.revision.max(current);
                }
                Err(oldest) => {
                    let status = fault::expired(format!("too old resource version: {} ({oldest})", self.revision));
                    self.line("ERROR", status.body);
                    self.done = true;
                }
            }
            if !self.pending.is_empty() {
                continue;
            }
            if !self.served() {
                return None;
            }
            let now = self.server.clock.now();
            if self.bookmarks && now >= self.next_bookmark {
                self.next_bookmark = now.plus(BOOKMARK);
                self.bookmark(false);
                continue;
            }
            let bookmark = self.bookmarks.then(|| self.server.clock.sleep(self.next_bookmark.since(now)));
            tokio::select! {
                biased;
                changed = revisions.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = &mut self.end => {
                    if self.bookmarks {
                        self.bookmark(false);
                    }
                    self.done = true;
                }
                () = async {
                    match bookmark {
                        Some(sleep) => sleep.await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
        }
    }

    /// Watches of a resource end when it is no longer served.
    fn served(&self) -> bool {
        let resource = &self.resource;
        self.server.registry().by_path(&resource.group, &resource.version, &resource.plural).is_some()
    }
}
