//! Charts and manifests from elsewhere, over real sockets: a chart repository, an OCI registry and a Git host that
//! behave, lie, stall and break; the lock file made from them, and everything after it without a network.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use serde_json::json;
use stackwright::chart::cache::digest;
use stackwright::chart::source::{Fault, Fetched, Fetcher, Limits, Logins, SourceError};
use stackwright::chart::{Reference, Wanted, reference::as_is};
use stackwright::env::clock::WallClock;
use stackwright::env::disk::Disk;
use stackwright::env::memory_disk::MemoryDisk;

/// What a server does instead of answering properly.
#[derive(Clone, Debug)]
enum Trick {
    /// 429 this many times, asking for no wait.
    Busy(usize),
    /// Half of the body, though all of it was announced.
    Cut,
    /// A redirect.
    Leads(String),
    /// One byte, and then nothing.
    Silent,
    /// A gigabyte, announced or not.
    Huge { announced: bool },
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, (String, Vec<u8>)>,
    tricks: BTreeMap<String, Trick>,
    /// Paths that were asked for, in order.
    requests: Vec<String>,
    /// What the registry says that a manifest's digest is.
    said: BTreeMap<String, String>,
    sent: usize,
}

/// A server that plays everything.
struct Upstream {
    inner: Arc<Mutex<Inner>>,
    address: std::net::SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

const TOKEN: &str = "word-of-the-day";
const LOGIN: &str = "me:secret-word";

fn plain(status: StatusCode, text: &'static str) -> Response {
    Response::builder().status(status).body(Body::from(text)).expect("a response")
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let host = request.headers().get("host").and_then(|h| h.to_str().ok()).unwrap_or_default().to_owned();
    let authorization =
        request.headers().get("authorization").and_then(|h| h.to_str().ok()).unwrap_or_default().to_owned();
    let mut guard = inner.lock().expect("lock");
    guard.requests.push(path.clone());
    if path == "/token" {
        let private = query.contains("private");
        let login = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(LOGIN));
        return match (query.contains("scope=repository%3A"), private, authorization == login) {
            (false, _, _) => plain(StatusCode::BAD_REQUEST, "no scope"),
            (_, true, false) => plain(StatusCode::UNAUTHORIZED, "who are you?"),
            _ => Response::new(Body::from(json!({ "token": TOKEN }).to_string())),
        };
    }
    if path.starts_with("/v2/") && authorization != format!("Bearer {TOKEN}") {
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"registry\"");
        return Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header("www-authenticate", challenge)
            .body(Body::empty())
            .expect("a response");
    }
    match guard.tricks.get_mut(&path) {
        Some(Trick::Busy(0)) | None => {}
        Some(Trick::Busy(left)) => {
            *left -= 1;
            let busy = Response::builder().status(StatusCode::TOO_MANY_REQUESTS).header("retry-after", "0");
            return busy.body(Body::from("slow down")).expect("a response");
        }
        Some(Trick::Cut) => {
            let (_, bytes) = guard.files.get(&path).cloned().unwrap_or_default();
            let half = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
            let body = futures_util::stream::iter([Ok::<_, std::io::Error>(half)]);
            let response = Response::builder().header("content-length", bytes.len());
            return response.body(Body::from_stream(body)).expect("a response");
        }
        Some(Trick::Leads(to)) => {
            let to = to.clone();
            let response = Response::builder().status(StatusCode::FOUND).header("location", to);
            return response.body(Body::empty()).expect("a response");
        }
        Some(Trick::Silent) => {
            let one = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
            return Response::new(Body::from_stream(one.chain(futures_util::stream::pending())));
        }
        Some(Trick::Huge { announced }) => {
            let announced = *announced;
            let counter = inner.clone();
            let chunks = futures_util::stream::iter(0..16_384).map(move |_| {
                counter.lock().expect("lock").sent += 1 << 16;
                Ok::<_, std::io::Error>(Bytes::from_static(&[0; 1 << 16]))
            });
            let mut response = Response::builder();
            if announced {
                response = response.header("content-length", 1_u64 << 30);
            }
            return response.body(Body::from_stream(chunks)).expect("a response");
        }
    }
    let key = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let Some((kind, bytes)) = guard.files.get(&key).or_else(|| guard.files.get(&path)).cloned() else {
        return plain(StatusCode::NOT_FOUND, "no such thing");
    };
    let mut response = Response::builder().header("content-type", kind);
    if let Some(said) = guard.said.get(&path) {
        response = response.header("docker-content-digest", said);
    }
    if let Some((_, next)) = guard.files.get(&format!("link {key}")) {
        response = response.header("link", String::from_utf8_lossy(next).into_owned());
    }
    response.body(Body::from(bytes)).expect("a response")
}

impl Upstream {
    /// Serves on a thread of its own, so that the real program can be its client.
    fn start() -> Upstream {
        rustls::crypto::ring::default_provider().install_default().ok();
        let inner = Arc::<Mutex<Inner>>::default();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    result = async { axum::serve(listener, router).await } => result.expect("serves"),
                    _ = stopped => {}
                }
            });
        });
        Upstream { inner, address, stop: Some(stop), thread: Some(thread) }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("lock")
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.inner().files.insert(path.to_owned(), ("application/octet-stream".to_owned(), bytes.into()));
    }

    fn trick(&self, path: &str, trick: Trick) {
        self.inner().tricks.insert(path.to_owned(), trick);
    }

    /// How many requests there were since the last time this was asked.
    fn requests(&self) -> usize {
        std::mem::take(&mut self.inner().requests).len()
    }

    /// Nobody listens any more.
    fn stop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server");
        }
    }

    /// Publishes charts in a repository at /charts; the digests are those of the bytes.
    fn repository(&self, charts: &[(&str, &str, Vec<u8>)]) {
        let digests = charts.iter().map(|(_, _, bytes)| digest(bytes)[7..].to_owned()).collect::<Vec<_>>();
        self.repository_saying(charts, &digests);
    }

    fn repository_saying(&self, charts: &[(&str, &str, Vec<u8>)], digests: &[String]) {
        let mut entries = BTreeMap::<&str, Vec<serde_json::Value>>::new();
        for ((name, version, bytes), digest) in charts.iter().zip(digests) {
            let file = format!("{name}-{version}.tgz");
            self.put(&format!("/charts/{file}"), bytes.clone());
            let listed = json!({ "name": name, "version": version, "urls": [file], "digest": digest });
            entries.entry(name).or_default().push(listed);
        }
        self.put("/charts/index.yaml", json!({ "apiVersion": "v1", "entries": entries }).to_string());
    }

    /// Publishes a chart in the registry; returns the path of its manifest and of its archive.
    fn push(&self, repository: &str, version: &str, bytes: &[u8], config: &str) -> (String, String) {
        let content = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
        let blob = digest(bytes);
        let manifest = json!({
            "schemaVersion": 2,
            "config": { "mediaType": config, "digest": digest(b"{}"), "size": 2 },
            "layers": [{ "mediaType": content, "digest": blob, "size": bytes.len() }],
        })
        .to_string();
        let tag = version.replace('+', "_");
        let paths = (format!("/v2/{repository}/manifests/{tag}"), format!("/v2/{repository}/blobs/{blob}"));
        self.inner().said.insert(paths.0.clone(), digest(manifest.as_bytes()));
        self.put(&paths.0, manifest);
        self.put(&paths.1, bytes);
        let list = format!("/v2/{repository}/tags/list");
        let mut tags = self.inner().files.get(&list).map_or_else(Vec::new, |(_, bytes)| {
            let list: serde_json::Value = serde_json::from_slice(bytes).expect("tags");
            list["tags"].as_array().cloned().unwrap_or_default()
        });
        tags.push(json!(tag));
        self.put(&list, json!({ "name": repository, "tags": tags }).to_string());
        paths
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";

fn archive(top: &str, files: &[(&str, &str)], commit: Option<&str>, level: u32) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::new(level)));
    if let Some(commit) = commit {
        let record = format!("{} comment={commit}\n", 12 + commit.len());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XGlobalHeader);
        header.set_size(record.len() as u64);
        header.set_path("pax_global_header").expect("short");
        header.set_cksum();
        tar.append(&header, record.as_bytes()).expect("memory");
    }
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{top}/{path}"), text.as_bytes()).expect("memory");
    }
    tar.into_inner().expect("memory").finish().expect("memory")
}

fn chart(name: &str, version: &str, word: &str) -> Vec<u8> {
    let metadata = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{word: {word}}}\n");
    archive(name, &[("Chart.yaml", &metadata), ("templates/a.yaml", &object)], None, 6)
}

/// Time-outs that tests can wait for.
fn impatient() -> Limits {
    Limits {
        silence: Duration::from_millis(400),
        connect: Duration::from_millis(400),
        whole: Duration::from_secs(20),
        tries: 3,
        pause: Duration::from_millis(5),
        ..Limits::default()
    }
}

fn wanted(reference: &str, version: Option<&str>) -> Wanted {
    Wanted {
        id: "charts.x".to_owned(),
        reference: Reference::chart(reference, None, as_is).expect("a reference"),
        version: version.map(str::to_owned),
        digest: None,
    }
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn fetcher(logins: Logins) -> Fetcher {
    Fetcher::new(Arc::new(WallClock::new()), impatient(), logins).expect("a fetcher")
}

fn resolve(wanted: &Wanted) -> Result<Fetched, SourceError> {
    block(async { fetcher(Logins::none()).resolve(wanted).await })
}

/// Both digests are named.
fn names_both(error: &SourceError, said: &str, found: &str) {
    assert_eq!(error.fault, Fault::Digest, "{error:?}");
    assert!(error.detail.contains(said) && error.detail.contains(found), "{error:?}");
}

#[test]
fn a_repository_gives_the_newest_that_fits() {
    let upstream = Upstream::start();
    let charts = ["1.0.0", "1.1.0", "2.0.0-rc.1"].map(|version| ("web", version, chart("web", version, "a")));
    let database = ("db", "0.1.0", chart("db", "0.1.0", "a"));
    upstream.repository(&[&charts[..], &[database]].concat());
    let web = upstream.url("/charts#web");
    let newest = resolve(&wanted(&web, None)).expect("there");
    assert_eq!(newest.entry.version.as_deref(), Some("1.1.0"));
    assert_eq!((&newest.entry.digest, &newest.bytes[..]), (&digest(&charts[1].2), &charts[1].2[..]));
    assert_eq!(newest.entry.address, Some(upstream.url("/charts/web-1.1.0.tgz")));
    assert_eq!(resolve(&wanted(&web, Some("~1.0"))).expect("there").entry.version.as_deref(), Some("1.0.0"));
    let missing = resolve(&wanted(&web, Some("^7"))).expect_err("no version 7");
    assert!(missing.fault == Fault::Missing && missing.hint.is_some_and(|hint| hint.contains("1.1.0")));
    // Two charts of one repository ask for its index once.
    upstream.requests();
    block(async {
        let fetcher = fetcher(Logins::none());
        let database = wanted(&upstream.url("/charts#db"), None);
        let web = wanted(&web, None);
        let (a, b) = futures_util::future::join(fetcher.resolve(&database), fetcher.resolve(&web)).await;
        assert!(a.is_ok() && b.is_ok());
    });
    assert_eq!(upstream.requests(), 3);
}

#[test]
fn an_index_that_lies_is_refused_with_both_digests() {
    let upstream = Upstream::start();
    let bytes = chart("web", "1.0.0", "a");
    upstream.repository_saying(&[("web", "1.0.0", bytes.clone())], &[digest(b"another")[7..].to_owned()]);
    let error = resolve(&wanted(&upstream.url("/charts#web"), None)).expect_err("it lies");
    names_both(&error, &digest(b"another"), &digest(&bytes));
    // A version that says of itself that it is another one.
    upstream.repository(&[("web", "1.0.1", bytes.clone())]);
    let error = resolve(&wanted(&upstream.url("/charts#web"), None)).expect_err("it lies");
    assert!(error.summary.contains("1.0.1") && error.summary.contains("1.0.0"), "{error:?}");
    // Something that is no chart at all.
    upstream.repository(&[("web", "1.0.0", b"<html>".to_vec())]);
    let error = resolve(&wanted(&upstream.url("/charts#web"), None)).expect_err("no chart");
    assert!(error.fault == Fault::Odd && error.summary.contains("is not a chart"), "{error:?}");
}

#[test]
fn a_registry_with_tokens() {
    let upstream = Upstream::start();
    let old = chart("api", "1.0.0", "a");
    let new = chart("api", "1.2.0+build", "a");
    upstream.push("team/api", "1.0.0", &old, CONFIG);
    upstream.push("team/api", "1.2.0+build", &new, CONFIG);
    let api = format!("oci://{}/team/api", upstream.address);
    let newest = resolve(&wanted(&api, None)).expect("there");
    assert_eq!((newest.entry.version.as_deref(), &newest.bytes[..]), (Some("1.2.0+build"), &new[..]));
    // A whole version does not ask for the list; what is locked does not even ask for the manifest.
    upstream.requests();
    let exact = resolve(&wanted(&api, Some("1.0.0"))).expect("there");
    assert_eq!(exact.entry.digest, digest(&old));
    assert!(upstream.inner().requests.iter().all(|path| !path.contains("tags")));
    upstream.requests();
    let again = block(async { fetcher(Logins::none()).fetch(&wanted(&api, None).reference, &exact.entry).await });
    assert_eq!(again.expect("there"), old);
    assert!(upstream.inner().requests.iter().all(|path| !path.contains("manifests")));
    // Helm's v before a version, in the tag only.
    upstream.push("team/v", "v3.0.0", &chart("v", "v3.0.0", "a"), CONFIG);
    let found = resolve(&wanted(&format!("oci://{}/team/v", upstream.address), Some("3.0.0"))).expect("there");
    assert_eq!(found.entry.version.as_deref(), Some("v3.0.0"));
    let missing = resolve(&wanted(&api, Some("9.9.9"))).expect_err("no such version");
    assert_eq!(missing.fault, Fault::Missing);
}

#[test]
fn tags_come_in_pages() {
    let upstream = Upstream::start();
    upstream.push("p", "2.0.0", &chart("p", "2.0.0", "a"), CONFIG);
    upstream.put("/v2/p/tags/list?n=1000", json!({ "tags": ["1.0.0"] }).to_string());
    upstream.put("link /v2/p/tags/list?n=1000", "</v2/p/tags/list?last=1.0.0>; rel=\"next\"");
    upstream.put("/v2/p/tags/list?last=1.0.0", json!({ "tags": ["2.0.0"] }).to_string());
    let found = resolve(&wanted(&format!("oci://{}/p", upstream.address), Some(">=1"))).expect("there");
    assert_eq!(found.entry.version.as_deref(), Some("2.0.0"));
}

#[test]
fn a_registry_that_lies_is_refused_with_both_digests() {
    let upstream = Upstream::start();
    let bytes = chart("api", "1.0.0", "a");
    let api = wanted(&format!("oci://{}/team/api", upstream.address), Some("1.0.0"));
    let (manifest, blob) = upstream.push("team/api", "1.0.0", &bytes, CONFIG);
    upstream.inner().said.insert(manifest.clone(), digest(b"another"));
    let body = upstream.inner().files[&manifest].1.clone();
    names_both(&resolve(&api).expect_err("it lies"), &digest(b"another"), &digest(&body));
    upstream.inner().said.insert(manifest, digest(&body));
    upstream.put(&blob, "another");
    names_both(&resolve(&api).expect_err("it lies"), &digest(&bytes), &digest(b"another"));
    // What is no chart: an image.
    upstream.push("team/api", "1.0.0", &bytes, "application/vnd.oci.image.config.v1+json");
    let error = resolve(&api).expect_err("an image");
    assert!(error.fault == Fault::Odd && error.summary.contains("is not a Helm chart"), "{error:?}");
}

#[test]
fn a_login_is_used_and_never_shown() {
    let upstream = Upstream::start();
    let bytes = chart("api", "1.0.0", "a");
    upstream.push("private/api", "1.0.0", &bytes, CONFIG);
    let api = wanted(&format!("oci://{}/private/api", upstream.address), Some("1.0.0"));
    let error = resolve(&api).expect_err("nobody is logged in");
    assert!(error.fault == Fault::Denied && error.hint.clone().is_some_and(|h| h.contains("login")), "{error:?}");
    let login = |pair: &str| {
        let disk = MemoryDisk::new();
        let auth = base64::engine::general_purpose::STANDARD.encode(pair);
        let file = json!({ "auths": { upstream.address.to_string(): { "auth": auth } } }).to_string();
        disk.write(Path::new("/d/config.json"), file.as_bytes()).expect("room");
        let vars = BTreeMap::from([("DOCKER_CONFIG".to_owned(), "/d".to_owned())]);
        Logins::of_environment(&vars, &disk)
    };
    let found = block(async { fetcher(login(LOGIN)).resolve(&api).await });
    assert_eq!(found.expect("logged in").bytes, bytes);
    let error = block(async { fetcher(login("me:wrong-word")).resolve(&api).await }).expect_err("a wrong word");
    assert_eq!(error.fault, Fault::Denied);
    let encoded = base64::engine::general_purpose::STANDARD.encode("me:wrong-word");
    let shown = format!("{error:?} {error} {:?}", login("me:wrong-word"));
    assert!(!shown.contains("wrong-word") && !shown.contains(&encoded), "{shown}");
}

#[test]
fn a_folder_of_a_git_repository() {
    let upstream = Upstream::start();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let files = [
        ("README.md", "much else"),
        ("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.2.3\n"),
        ("charts/web/.helmignore", "notes/\n"),
        ("charts/web/notes/a.txt", "not for the chart"),
        ("charts/web/values.yaml", "a: 1\n"),
        ("charts/webs/Chart.yaml", "apiVersion: v2\nname: webs\nversion: 9.0.0\n"),
    ];
    upstream.put("/o/r/archive/v1.2.3.tar.gz", archive("r-1.2.3", &files, Some(commit), 9));
    let web = wanted(&format!("git+http://{}/o/r//charts/web?ref=v1.2.3", upstream.address), Some("~1.2"));
    let found = resolve(&web).expect("there");
    assert_eq!(found.entry.version.as_deref(), Some("1.2.3"));
    assert_eq!(found.entry.commit.as_deref(), Some(commit));
    let files_found = stackwright::chart::archive::read(&found.bytes, &stackwright::chart::Limits::default());
    let names = files_found.expect("an archive").iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>();
    assert_eq!(names, [".helmignore", "Chart.yaml", "values.yaml"]);
    // The host packs in another way by and by, from another folder name: what is locked is the same.
    upstream.put(&format!("/o/r/archive/{commit}.tar.gz"), archive(&format!("r-{commit}"), &files, Some(commit), 1));
    let again = block(async { fetcher(Logins::none()).fetch(&web.reference, &found.entry).await });
    assert_eq!(again.expect("the same"), found.bytes);
    // The tag was moved.
    let moved = [("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.2.3\nicon: x\n")];
    upstream.put("/o/r/archive/v1.2.3.tar.gz", archive("r-1.2.3", &moved, None, 9));
    let published = block(async { fetcher(Logins::none()).published(&web.reference, &found.entry).await });
    assert_ne!(published.expect("there").digest, found.entry.digest);
    for (reference, why) in [("/o/r//charts/none?ref=v1.2.3", "charts/none"), ("/o/r//charts/web?ref=v9", "404")] {
        let error = resolve(&wanted(&format!("git+http://{}{reference}", upstream.address), None)).expect_err(why);
        assert!(format!("{error} {}", error.detail).contains(why), "{error:?}");
    }
}

#[test]
fn servers_that_are_busy_or_broken() {
    let upstream = Upstream::start();
    let bytes = chart("web", "1.0.0", "a");
    upstream.put("/web-1.0.0.tgz", bytes.clone());
    let web = wanted(&upstream.url("/web-1.0.0.tgz"), None);
    let fault = |trick: Trick| {
        upstream.trick("/web-1.0.0.tgz", trick);
        upstream.requests();
        resolve(&web).map_err(|error| (error.fault, format!("{error}: {}", error.detail)))
    };
    assert_eq!(fault(Trick::Busy(2)).expect("patience helps").bytes, bytes);
    assert_eq!(upstream.requests(), 3);
    let (busy, text) = fault(Trick::Busy(99)).expect_err("patience has an end");
    assert!(busy == Fault::Unreachable && text.contains("429"), "{text}");
    assert_eq!(upstream.requests(), 3);
    assert_eq!(fault(Trick::Cut).expect_err("half of it").0, Fault::Unreachable);
    assert_eq!(upstream.requests(), 3);
    let (silent, text) = fault(Trick::Silent).expect_err("nothing comes");
    assert!(silent == Fault::Unreachable && text.contains("does not answer within 0.4 s"), "{text}");
}

#[test]
fn redirects_that_are_not_followed() {
    let upstream = Upstream::start();
    upstream.put("/web-1.0.0.tgz", chart("web", "1.0.0", "a"));
    let web = wanted(&upstream.url("/web-1.0.0.tgz"), None);
    let fault = |to: &str| {
        upstream.trick("/web-1.0.0.tgz", Trick::Leads(to.to_owned()));
        upstream.requests();
        let error = resolve(&web).expect_err(to);
        assert_eq!(error.fault, Fault::Odd, "{error:?}");
        format!("{error} {}", error.detail)
    };
    assert!(fault("/web-1.0.0.tgz").contains("more than 8 redirects"));
    assert!(upstream.requests() <= 10, "a loop has an end");
    assert!(fault("http://charts.example/web-1.0.0.tgz").contains("not https"));
    assert!(fault("file:///etc/passwd").contains("answers 302"));
    assert_eq!(upstream.requests(), 1);
    upstream.put("/elsewhere.tgz", chart("web", "1.0.0", "a"));
    upstream.trick("/web-1.0.0.tgz", Trick::Leads(upstream.url("/elsewhere.tgz")));
    assert!(resolve(&web).is_ok());
}

#[test]
fn a_gigabyte_is_not_taken() {
    let upstream = Upstream::start();
    let web = wanted(&upstream.url("/web-1.0.0.tgz"), None);
    for announced in [true, false] {
        upstream.trick("/web-1.0.0.tgz", Trick::Huge { announced });
        upstream.inner().sent = 0;
        let error = resolve(&web).expect_err("too big");
        assert_eq!(error.fault, Fault::TooBig, "{error:?}");
        let sent = upstream.inner().sent;
        assert!(sent < 64 << 20, "{sent} bytes were read before it was refused");
    }
}

// ---- the program ------------------------------------------------------------------------------------------

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("tempdir") }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("writable");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).expect("readable")
    }

    fn run(&self, arguments: &[&str], vars: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_stackwright"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(vars.iter().copied())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the program starts")
    }

    /// Runs; whether it succeeded, and everything that it said.
    fn says(&self, arguments: &[&str], vars: &[(&str, &str)]) -> (bool, String) {
        let output = self.run(arguments, vars);
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn good(&self, arguments: &[&str]) -> String {
        let (good, text) = self.says(arguments, &[]);
        assert!(good, "{arguments:?}: {text}");
        text
    }

    fn bad(&self, arguments: &[&str]) -> String {
        let (good, text) = self.says(arguments, &[]);
        assert!(!good, "{arguments:?}: {text}");
        // Long lines are folded where they are shown.
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

const CRDS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-afar}\ndata: {a: b}\n";

fn stack(upstream: &Upstream) -> String {
    format!(
        "name = \"far\"\n\n[cluster]\nproject = \"sim-project\"\nlocation = \"europe-west4-a\"\n\n\
         [charts.web]\nsource = \"{charts}\"\nchart = \"web\"\nversion = \"^1\"\n\n\
         [charts.api]\nsource = \"oci://{host}/team/api\"\nversion = \"1.0.0\"\n\n\
         [manifests.crds]\nurl = \"{crds}\"\ndigest = \"{digest}\"\n",
        charts = upstream.url("/charts"),
        host = upstream.address,
        crds = upstream.url("/crds.yaml"),
        digest = digest(CRDS.as_bytes()),
    )
}

fn published() -> Upstream {
    let upstream = Upstream::start();
    upstream.repository(&[("web", "1.0.0", chart("web", "1.0.0", "a")), ("web", "1.1.0", chart("web", "1.1.0", "a"))]);
    upstream.push("team/api", "1.0.0", &chart("api", "1.0.0", "a"), CONFIG);
    upstream.put("/crds.yaml", CRDS);
    upstream
}

/// Manifests alone, which `validate` expands whatever becomes of charts.
fn manifests(upstream: &Upstream) -> String {
    let whole = stack(upstream);
    let (head, _) = whole.split_once("[charts.web]").expect("charts");
    let (_, tail) = whole.split_once("[manifests.crds]").expect("manifests");
    format!("{head}[manifests.crds]{tail}")
}

#[test]
fn locked_once_and_offline_for_ever() {
    let mut upstream = published();
    let place = Place::new();
    place.write("far.toml", &stack(&upstream));
    let said = place.good(&["lock", "far.toml"]);
    assert!(said.contains("+ charts.web 1.1.0 sha256:") && said.contains("Wrote far.lock: 3 sources"), "{said}");
    let locked = place.read("far.lock");
    for part in
        ["id = \"charts.web\"", "requested = \"^1\"", "version = \"1.1.0\"", "kubernetes = \"1.34\"", "\"apps/v1\""]
    {
        assert!(locked.contains(part), "{part} is not in\n{locked}");
    }
    // A newer one is published: the lock stands.
    upstream.repository(&[("web", "1.1.0", chart("web", "1.1.0", "a")), ("web", "1.2.0", chart("web", "1.2.0", "a"))]);
    upstream.requests();
    assert!(place.good(&["lock", "far.toml"]).contains("No change to far.lock"));
    assert_eq!(upstream.requests(), 0, "everything is locked and at hand");
    place.good(&["lock", "far.toml", "--check"]);
    assert!(upstream.requests() > 0);
    upstream.stop();
    place.good(&["lock", "far.toml", "--check", "--offline"]);
    place.good(&["lock", "far.toml"]);
    assert_eq!(place.read("far.lock"), locked);
    assert!(place.bad(&["lock", "far.toml", "--check"]).contains("cannot fetch"));
    assert!(place.good(&["validate", "far.toml"]).contains("is valid"));
    assert_eq!(upstream.requests(), 0);
}

#[test]
fn only_an_upgrade_changes_what_is_locked() {
    let upstream = published();
    let place = Place::new();
    let text = stack(&upstream);
    place.write("far.toml", &text);
    place.good(&["lock", "far.toml"]);
    upstream.repository(&[("web", "1.1.0", chart("web", "1.1.0", "a")), ("web", "1.2.0", chart("web", "1.2.0", "a"))]);
    let unknown = place.bad(&["lock", "far.toml", "--upgrade", "charts.wep"]);
    assert!(unknown.contains("did you mean charts.web?"), "{unknown}");
    assert!(place.bad(&["lock", "--upgrade", "far.toml"]).contains("that is a file"));
    let said = place.good(&["lock", "far.toml", "--upgrade", "charts.api"]);
    assert!(said.contains("No change"), "{said}");
    let said = place.good(&["lock", "far.toml", "--upgrade"]);
    assert!(said.contains("~ charts.web 1.1.0") && said.contains("-> 1.2.0"), "{said}");
    // The stack asks for something else: that is locked anew, the rest stays, and what is gone goes.
    place.write("far.toml", &text.replace("\"^1\"", "\"~1.1\"").replace("[charts.api]", "[charts.other]"));
    let differs = place.bad(&["lock", "far.toml", "--check", "--offline"]);
    for part in
        ["charts.web: 1.2.0 is locked, and ~1.1 is wanted", "charts.other:", "charts.api: it is locked, and nothing"]
    {
        assert!(differs.contains(part), "{part} is not in {differs}");
    }
    let said = place.good(&["lock", "far.toml"]);
    assert!(said.contains("+ charts.other 1.0.0") && said.contains("- charts.api 1.0.0"), "{said}");
    assert!(said.contains("~ charts.web 1.2.0"), "{said}");
}

#[test]
fn what_is_published_again_is_refused_with_both_digests() {
    let upstream = published();
    let place = Place::new();
    place.write("far.toml", &stack(&upstream));
    place.good(&["lock", "far.toml"]);
    let before = place.read("far.lock");
    let (old, new) = (chart("web", "1.1.0", "a"), chart("web", "1.1.0", "evil"));
    upstream.repository(&[("web", "1.1.0", new.clone())]);
    let (old, new) = (digest(&old), digest(&new));
    let differs = place.bad(&["lock", "far.toml", "--check"]);
    assert!(differs.contains(&format!("charts.web: {old} is locked, and {new} is published")), "{differs}");
    let refused = place.bad(&["lock", "far.toml", "--upgrade"]);
    assert!(refused.contains(&old) && refused.contains(&new) && refused.contains("published again"), "{refused}");
    assert_eq!(place.read("far.lock"), before);
    // With an empty cache it is fetched by its address, where something else is now.
    std::fs::remove_dir_all(place.folder.path().join(".cache")).expect("a cache");
    let refused = place.bad(&["lock", "far.toml"]);
    assert!(refused.contains(&old) && refused.contains(&new), "{refused}");
    let said = place.good(&["lock", "far.toml", "--upgrade", "charts.web"]);
    assert!(said.contains("has another content than before") && said.contains(&new), "{said}");
    // Manifests that are not what the stack says.
    upstream.put("/crds.yaml", "a: b\n");
    let place = Place::new();
    place.write("far.toml", &manifests(&upstream));
    let refused = place.bad(&["lock", "far.toml"]);
    assert!(refused.contains(&digest(CRDS.as_bytes())) && refused.contains(&digest(b"a: b\n")), "{refused}");
}

#[test]
fn a_closed_network_lives_on_a_bundle() {
    let mut upstream = published();
    let open = Place::new();
    open.write("far.toml", &stack(&upstream));
    let said = open.good(&["lock", "far.toml", "--bundle", "bundle"]);
    assert!(said.contains("Bundled 3 files"), "{said}");
    let bundle = open.folder.path().join("bundle");
    assert_eq!(open.read("bundle/far.lock"), open.read("far.lock"));
    upstream.stop();
    let closed = Place::new();
    closed.write("far.toml", &stack(&upstream));
    closed.write("far.lock", &open.read("far.lock"));
    let vars = [("STACKWRIGHT_BUNDLE", bundle.to_str().expect("UTF-8"))];
    let (good, said) = closed.says(&["validate", "far.toml"], &vars);
    assert!(good, "{said}");
    // Without it, the same is refused with what to do.
    let refused = closed.bad(&["validate", "far.toml"]);
    assert!(refused.contains("is not at hand") && refused.contains("stackwright lock"), "{refused}");
    let (good, said) = closed.says(&["lock", "far.toml"], &vars);
    assert!(good && said.contains("No change"), "{said}");
    assert!(!closed.folder.path().join(".cache").exists(), "what the bundle has is not copied");
}

#[test]
fn a_plan_takes_a_bundle_and_fetches_nothing() {
    let mut upstream = published();
    let open = Place::new();
    open.write("far.toml", &stack(&upstream));
    let said = open.good(&["lock", "far.toml", "--bundle", "bundle"]);
    assert!(said.contains("plan far.toml --bundle bundle"), "{said}");
    upstream.stop();
    let bundle = open.folder.path().join("bundle");
    let named = bundle.to_str().expect("UTF-8");
    // The lock in the bundle will do; it is no stand-in, so that a cloud would get it.
    let closed = Place::new();
    closed.write("far.toml", &stack(&upstream));
    let said = closed.good(&["validate", "far.toml", "--bundle", named]);
    assert!(said.contains("is valid"), "{said}");
    let said = closed.good(&["export", "far.toml", "--bundle", named, "--stdout"]);
    assert!(said.contains("kind: "), "{said}");
    assert!(!closed.folder.path().join("far.lock").exists() && !closed.folder.path().join(".cache").exists());
    let refused = closed.bad(&["validate", "far.toml", "--bundle", "nowhere"]);
    assert!(refused.contains("no folder with a bundle"), "{refused}");
    // Something is missing: that is said at once, without a try at the network.
    let torn = closed.folder.path().join("torn");
    std::fs::create_dir(&torn).expect("writable");
    std::fs::copy(bundle.join("far.lock"), torn.join("far.lock")).expect("copied");
    let refused = closed.bad(&["export", "far.toml", "--bundle", "torn", "--stdout"]);
    assert!(refused.contains("lacks what the stack needs") && refused.contains("charts.web"), "{refused}");
    // Beside the lock file it needs no flag.
    closed.write("far.lock", &open.read("far.lock"));
    let beside = closed.folder.path().join("far.bundle");
    std::fs::create_dir(&beside).expect("writable");
    copy(&bundle, &beside);
    let said = closed.good(&["export", "far.toml", "--stdout"]);
    assert!(said.contains("kind: "), "{said}");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).expect("writable");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn a_folder_of_archives_must_have_what_is_locked() {
    let mut upstream = published();
    let place = Place::new();
    place.write("far.toml", &stack(&upstream));
    place.good(&["lock", "far.toml"]);
    upstream.stop();
    std::fs::remove_dir_all(place.folder.path().join(".cache")).expect("a cache");
    std::fs::create_dir(place.folder.path().join("f")).expect("writable");
    let put = |name: &str, bytes: &[u8]| std::fs::write(place.folder.path().join("f").join(name), bytes).expect("put");
    put("web-1.0.0.tgz", &chart("web", "1.0.0", "a"));
    put("web-1.1.0.tgz", &chart("web", "1.1.0", "a"));
    put("api-1.0.0.tgz", &chart("api", "1.0.0", "a"));
    put("crds.yaml", CRDS.as_bytes());
    let vars = [("STACKWRIGHT_CHARTS", "f")];
    let (good, said) = place.says(&["validate", "far.toml"], &vars);
    assert!(good, "{said}");
    put("web-1.1.0.tgz", &chart("web", "1.1.0", "evil"));
    let (good, said) = place.says(&["validate", "far.toml"], &vars);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let both = [chart("web", "1.1.0", "a"), chart("web", "1.1.0", "evil")].map(|bytes| digest(&bytes));
    assert!(!good && both.iter().all(|digest| said.contains(digest)), "{said}");
}

#[test]
fn a_damaged_cache_is_noticed_and_mended() {
    let upstream = published();
    let place = Place::new();
    place.write("far.toml", &manifests(&upstream));
    place.good(&["lock", "far.toml"]);
    let entry = place.folder.path().join(".cache/stackwright/sha256").join(&digest(CRDS.as_bytes())[7..]);
    std::fs::write(&entry, "apiVersion: v1\nkind: Secret\n").expect("writable");
    let said = place.bad(&["validate", "far.toml"]);
    assert!(said.contains("is damaged") && said.contains("thrown away") && said.contains("is not at hand"), "{said}");
    upstream.requests();
    place.good(&["lock", "far.toml"]);
    assert_eq!((upstream.requests(), std::fs::read_to_string(&entry).expect("mended").as_str()), (1, CRDS));
    // The lock itself.
    place.write("far.lock", &place.read("far.lock").replace("digest = \"sha256:", "digest = \"sha256:x"));
    let said = place.bad(&["validate", "far.toml"]);
    assert!(
        said.contains("far.lock:") && said.contains("the lock file is damaged") && said.contains("is no digest"),
        "{said}"
    );
}

#[test]
fn the_first_plan_makes_the_lock_and_no_plan_goes_beyond_it() {
    let mut upstream = published();
    let place = Place::new();
    place.write("far.toml", &stack(&upstream));
    // Without credentials the plan is blind; that is not what this is about.
    let vars = [("GOOGLE_APPLICATION_CREDENTIALS", "none.json")];
    let (good, said) = place.says(&["plan", "far.toml"], &vars);
    assert!(good && said.contains("Wrote far.lock"), "{said}");
    for object in ["manifests.crds/ConfigMap/default/from-afar", "charts.web/ConfigMap/default/web"] {
        assert!(said.contains(object), "{object} is not in {said}");
    }
    upstream.requests();
    let (good, _) = place.says(&["plan", "far.toml"], &vars);
    assert!(good && upstream.requests() == 0);
    // An empty cache: exactly what the lock names is fetched.
    std::fs::remove_dir_all(place.folder.path().join(".cache")).expect("a cache");
    let (good, said) = place.says(&["plan", "far.toml"], &vars);
    assert!(good, "{said}");
    let asked = std::mem::take(&mut upstream.inner().requests);
    let asks = |part: &str| asked.iter().any(|path| path.contains(part));
    assert!(asks("/crds.yaml") && asks("/charts/web-1.1.0.tgz") && asks("/blobs/sha256:"), "{asked:?}");
    assert!(!asks("index.yaml") && !asks("/manifests/") && !asks("/tags/"), "{asked:?}");
    // Something new in the stack is not fetched on the way.
    let other = "[manifests.more]\nurl = \"URL\"\ndigest = \"D\"\n"
        .replace("URL", &upstream.url("/crds.yaml"))
        .replace('D', &digest(CRDS.as_bytes()));
    place.write("far.toml", &format!("{}\n{other}", stack(&upstream)));
    let (good, said) = place.says(&["plan", "far.toml"], &vars);
    assert!(!good && said.contains("manifests.more") && said.contains("stackwright lock far.toml"), "{said}");
    assert_eq!(upstream.requests(), 0);
    // Simulated places never fetch.
    let place = Place::new();
    place.write("far.toml", &manifests(&upstream));
    let refused = place.bad(&["plan", "far.toml", "--sim"]);
    assert!(refused.contains("is not at hand"), "{refused}");
    assert_eq!(upstream.requests(), 0);
    upstream.stop();
}

#[test]
fn one_chart_without_a_stack() {
    let upstream = published();
    let place = Place::new();
    let said = place.good(&["chart", "pull", &upstream.url("/charts#web"), "--version", "1.0.x", "-d", "got"]);
    assert!(said.contains("got/web-1.0.0.tgz") && said.contains(&digest(&chart("web", "1.0.0", "a"))), "{said}");
    let pulled = std::fs::read(place.folder.path().join("got/web-1.0.0.tgz")).expect("written");
    assert_eq!(pulled, chart("web", "1.0.0", "a"));
    let said = place.good(&["chart", "pull", "web", "--repo", &upstream.url("/charts")]);
    assert!(said.contains("web-1.1.0.tgz"), "{said}");
    place.good(&["chart", "pull", &format!("oci://{}/team/api", upstream.address)]);
    assert!(place.folder.path().join("api-1.0.0.tgz").exists());
    assert!(place.bad(&["chart", "pull", "./mine"]).contains("there is nothing to fetch"));
    assert!(place.bad(&["chart", "pull", &upstream.url("/charts#wep")]).contains("did you mean web?"));
}
