//! Stores that state can live in, each held to the same: the model, Google Cloud Storage as the simulator plays it,
//! S3 as moto and Azure as azurite play them. The two programs are those that `STACKWRIGHT_STORES` holds (`.ci/stores`).

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::ObjectStore;
use stackwright::address::Address;
use stackwright::backend::bucket::Bucket;
use stackwright::backend::memory_store::MemoryStore;
use stackwright::backend::remote::{Me, RemoteBackend};
use stackwright::backend::store::{Store, Written};
use stackwright::backend::{BackendError, Session};
use stackwright::env::clock::{SharedClock, WallClock};
use stackwright::env::memory_disk::MemoryDisk;
use stackwright::state::model::Intent;
use stackwright::state::transition::Transition;

fn run<T>(future: impl Future<Output = T>) -> T {
    rustls::crypto::ring::default_provider().install_default().ok();
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(future)
}

fn clock() -> SharedClock {
    Arc::new(WallClock::new())
}

/// What everything else relies on.
async fn conforms(store: Arc<dyn Store>) {
    let done = |written: Result<Written, _>| match written {
        Ok(Written::Done(tag)) => tag,
        other => panic!("{other:?}"),
    };
    assert_eq!(store.get("a/none").await, Ok(None));
    assert_eq!(store.list("a/").await, Ok(Vec::new()));
    let first = done(store.create("a/one", b"first").await);
    assert_eq!(store.create("a/one", b"other").await, Ok(Written::Refused));
    let there = store.get("a/one").await.expect("answered").expect("there");
    assert_eq!((&there.bytes[..], &there.tag), (&b"first"[..], &first));
    let second = done(store.replace("a/one", b"second", &first).await);
    assert_ne!(first, second);
    assert_eq!(store.replace("a/one", b"late", &first).await, Ok(Written::Refused));
    let again = store.get("a/one").await.expect("answered").expect("there");
    assert_eq!((&again.bytes[..], &again.tag), (&b"second"[..], &second));
    assert!(again.modified >= there.modified);
    assert_eq!(store.replace("a/none", b"x", &second).await, Ok(Written::Refused));
    assert_eq!(store.get("a/none").await, Ok(None));
    for number in 0..12 {
        done(store.create(&format!("b/{number:016}"), &vec![b'x'; number * 1000]).await);
    }
    let expected = (0..12).map(|number| format!("b/{number:016}")).collect::<Vec<_>>();
    assert_eq!(store.list("b/").await, Ok(expected));
    store.delete("a/one").await.expect("deleted");
    store.delete("a/one").await.expect("deleted already");
    assert_eq!(store.get("a/one").await, Ok(None));
    done(store.create("a/one", b"anew").await);
}

/// Eight at once: one creates.
async fn one_of_many(store: Arc<dyn Store>) {
    let racers = (0..8).map(|number| {
        let store = store.clone();
        async move { store.create("race", format!("runner {number}").as_bytes()).await }
    });
    let outcomes = futures_util::future::join_all(racers).await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Written::Done(_)))).count();
    assert_eq!(won, 1, "{outcomes:?}");
}

/// A whole life of a state.
async fn holds_a_state(store: Arc<dyn Store>) {
    let disk = Arc::new(MemoryDisk::new());
    let backend = RemoteBackend::new(store, clock(), "demo", disk, PathBuf::from("unpushed"), |_| true);
    let me = |name: &str| Me { run: name.to_owned(), holder: format!("run {name}"), process: None };
    let mut session = backend.open(&me("a"), Duration::ZERO, &|_| {}).await.expect("free");
    let begin = Transition::Begin { lineage: "l".into(), stack_id: "0123456789abcdef".into() };
    session.commit(vec![begin]).await.expect("written");
    for number in 0..70 {
        let intent = Transition::Intent {
            address: Address::new(format!("values.n{number}")),
            kind: "value".into(),
            action: Intent::Create,
            at: 1,
            needs: vec![],
            connection: None,
        };
        session.commit(vec![intent]).await.expect("written");
    }
    assert!(matches!(backend.open(&me("b"), Duration::ZERO, &|_| {}).await, Err(BackendError::Locked { .. })));
    let held = backend.held(&me("b")).await.expect("asked").expect("held");
    assert_eq!((held.lease.holder.as_str(), held.lease.epoch), ("run a", 1));
    session.compact().await.expect("folded");
    session.close().await;
    let loaded = backend.read().await.expect("read");
    assert_eq!((loaded.state.resources.len(), loaded.unfolded.0), (70, 0));
    let next = backend.open(&me("b"), Duration::ZERO, &|_| {}).await.expect("let go of");
    assert_eq!(next.state().serial, 71);
}

fn everything(store: &dyn Fn(&str) -> Arc<dyn Store>) {
    run(async {
        conforms(store("conforms")).await;
        one_of_many(store("race")).await;
        holds_a_state(store("state")).await;
    });
}

/// A prefix in a bucket of any kind.
fn bucket(inner: Arc<dyn ObjectStore>, prefix: &str) -> Arc<dyn Store> {
    Arc::new(Bucket::new(inner, prefix, &format!("test://{prefix}")).expect("a prefix"))
}

#[test]
fn the_model_conforms() {
    everything(&|_| Arc::new(MemoryStore::new(clock())));
}

/// Cloud Storage with the bucket `states`, as the simulator plays it, and its address.
pub fn gcs(world: &Path) -> (crate::served::Served, String) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let served = crate::served::serve(world, "127.0.0.1:0");
    let client = reqwest::Client::builder().no_proxy().build().expect("client");
    let made = run(async {
        let body = serde_json::json!({"name": "states"}).to_string();
        let request = client.post(format!("{}/storage/v1/b?project=demo", served.url));
        request.header("content-type", "application/json").body(body).send().await.expect("answered").status()
    });
    assert!(made.is_success(), "{made}");
    let endpoint = format!("{}/storage", served.url);
    (served, endpoint)
}

#[test]
fn cloud_storage_of_the_simulator_conforms() {
    let world = tempfile::tempdir().expect("folder");
    let (_served, endpoint) = gcs(world.path());
    let inner = object_store::gcp::GoogleCloudStorageBuilder::new()
        .with_bucket_name("states")
        .with_base_url(&endpoint)
        .with_bearer_token("simulated")
        .with_client_options(object_store::ClientOptions::new().with_allow_http(true))
        .build()
        .expect("a client");
    let inner: Arc<dyn ObjectStore> = Arc::new(inner);
    everything(&|prefix| bucket(inner.clone(), prefix));
}

/// A program that is killed with the test.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn start(program: &str, port: u16, arguments: &[&str]) -> Option<Running> {
    let Some(folder) = std::env::var_os("STACKWRIGHT_STORES") else {
        eprintln!("skipped: no STACKWRIGHT_STORES with {program}");
        return None;
    };
    let child = Command::new(PathBuf::from(folder).join(program))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let running = Running(child);
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{program} does not listen");
        std::thread::sleep(Duration::from_millis(100));
    }
    Some(running)
}

/// S3 with the bucket `states`, as moto plays it, and its address; nothing without the program.
pub fn s3() -> Option<(Running, String)> {
    let port = port();
    let moto = start("moto_server", port, &["-H", "127.0.0.1", "-p", &port.to_string()])?;
    let endpoint = format!("http://127.0.0.1:{port}");
    let made = run(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("client");
        client.put(format!("{endpoint}/states")).send().await.expect("answered").status()
    });
    assert!(made.is_success(), "{made}");
    Some((moto, endpoint))
}

#[test]
fn s3_of_moto_conforms() {
    let Some((_moto, endpoint)) = s3() else { return };
    let inner = object_store::aws::AmazonS3Builder::new()
        .with_bucket_name("states")
        .with_region("us-east-1")
        .with_endpoint(&endpoint)
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_allow_http(true)
        .build()
        .expect("a client");
    let inner: Arc<dyn ObjectStore> = Arc::new(inner);
    everything(&|prefix| bucket(inner.clone(), prefix));
}

/// Makes the container `states`, signed as Azure's "Authorize with Shared Key" has it.
async fn make_container(port: u16, account: &str, key: &str) -> reqwest::StatusCode {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hmac::Mac;
    let now = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers = format!("x-ms-date:{now}\nx-ms-version:2021-12-02\n");
    let text = format!("PUT{}{headers}/{account}/{account}/states\nrestype:container", "\n".repeat(12));
    let key = STANDARD.decode(key).expect("base64");
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let client = reqwest::Client::builder().no_proxy().build().expect("client");
    let request = client.put(format!("http://127.0.0.1:{port}/{account}/states?restype=container"));
    let request = request.header("x-ms-date", &now).header("x-ms-version", "2021-12-02").header("content-length", "0");
    let request = request.header("authorization", format!("SharedKey {account}:{signature}"));
    request.send().await.expect("answered").status()
}

/// The account and key that every azurite has (its documentation).
pub const AZURITE: (&str, &str) =
    ("devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==");

/// Azure with the container `states`, as azurite plays it, and its address; nothing without the program.
pub fn azure(folder: &Path) -> Option<(Running, String)> {
    let port = port();
    let (number, at) = (port.to_string(), folder.display().to_string());
    let arguments = ["--blobHost", "127.0.0.1", "--blobPort", &number, "--location", &at, "--skipApiVersionCheck"];
    let azurite = start("azurite-blob", port, &arguments)?;
    let made = run(make_container(port, AZURITE.0, AZURITE.1));
    assert!(made.is_success(), "{made}");
    Some((azurite, format!("http://127.0.0.1:{port}/{}", AZURITE.0)))
}

#[test]
fn blob_storage_of_azurite_conforms() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_azurite, endpoint)) = azure(folder.path()) else { return };
    let container = object_store::azure::MicrosoftAzureBuilder::new()
        .with_container_name("states")
        .with_account(AZURITE.0)
        .with_access_key(AZURITE.1)
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .build()
        .expect("a client");
    let inner: Arc<dyn ObjectStore> = Arc::new(container);
    everything(&|prefix| bucket(inner.clone(), prefix));
}
