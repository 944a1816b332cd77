//! Rendering a chart by the real helm and by us, to the same shape.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use stackwright::chart::set::Style;
use stackwright::chart::{
    Capabilities, Cause, Chart, ChartError, Delete, Event, Hook, Limits, Release, Settings, Values, collect, directory,
    documents,
};
use stackwright::env::disk::RealDisk;
use stackwright::template::yaml;
use stackwright::value::Value;

/// What comes out: objects with the template that they come from, in order.
pub type Objects = Vec<(String, Value)>;

/// Objects, or the words of the refusal.
pub type Outcome = Result<Objects, String>;

/// A template by chance may count to 10^11, which helm does and we refuse.
const LONGEST: Duration = Duration::from_secs(20);

/// What a process printed, if it ends in time.
fn ended(command: &mut Command) -> Option<Output> {
    let (out, err) = (tempfile::NamedTempFile::new().expect("a file"), tempfile::NamedTempFile::new().expect("a file"));
    let file = |file: &tempfile::NamedTempFile| file.reopen().expect("the file");
    let mut child = command.stdout(file(&out)).stderr(file(&err)).spawn().expect("helm runs");
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("waited") {
            break status;
        }
        if begun.elapsed() > LONGEST {
            child.kill().expect("killed");
            child.wait().expect("waited");
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let read = |file: &tempfile::NamedTempFile| std::fs::read(file.path()).expect("what it printed");
    Some(Output { status, stdout: read(&out), stderr: read(&err) })
}

/// The real helm.
pub struct Helm {
    binary: PathBuf,
    home: tempfile::TempDir,
}

impl Helm {
    /// The one that `STACKWRIGHT_HELM` names.
    pub fn named() -> Option<Helm> {
        let binary = PathBuf::from(std::env::var_os("STACKWRIGHT_HELM")?);
        let binary = std::fs::canonicalize(&binary).unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
        Some(Helm { binary, home: tempfile::tempdir().expect("a folder") })
    }

    fn run(&self, arguments: &[&str], further: &[String], beside: &Path) -> Result<String, String> {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .args(further)
            .current_dir(beside)
            .env_clear()
            .env("HOME", self.home.path())
            // Nothing may be reached: no cluster, no registry.
            .env("KUBECONFIG", "/dev/null");
        let Some(output) = ended(&mut command) else { return Err("helm came to no end".to_owned()) };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// `helm template`.
    pub fn template(&self, folder: &Path, arguments: &[String]) -> Outcome {
        let chart = folder.join("chart");
        let chart = chart.to_str().expect("UTF-8");
        let text = self.run(&["template", "rel", chart, "-n", "ns"], arguments, &folder.join("beside"))?;
        Ok(parse(&text))
    }

    /// Notes and hooks, as `helm install` would keep them.
    pub fn release(&self, folder: &Path, arguments: &[String]) -> Result<(String, Vec<String>), String> {
        let chart = folder.join("chart");
        let chart = chart.to_str().expect("UTF-8");
        let install = ["install", "rel", chart, "-n", "ns", "--dry-run=client", "-o", "json"];
        let text = self.run(&install, arguments, &folder.join("beside"))?;
        let release = serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        let notes = release["info"]["notes"].as_str().unwrap_or("").to_owned();
        let hooks = release["hooks"].as_array().into_iter().flatten().map(|hook| {
            let list = |key: &str| {
                let items = hook[key].as_array().into_iter().flatten();
                items.filter_map(|item| item.as_str()).collect::<Vec<_>>().join(",")
            };
            let text = |key: &str| hook[key].as_str().unwrap_or("").to_owned();
            let weight = hook["weight"].as_i64().unwrap_or(0);
            let (name, path) = (text("name"), text("path"));
            // Without a policy helm behaves as with this one.
            let gone = Some(list("delete_policies")).filter(|gone| !gone.is_empty());
            let gone = gone.unwrap_or_else(|| "before-hook-creation".to_owned());
            format!("{path} {name} on {} at {weight} gone {gone}", list("events"))
        });
        Ok((notes, hooks.collect()))
    }
}

/// Splits what `helm template` prints.
fn parse(text: &str) -> Objects {
    let mut objects = Vec::new();
    for part in format!("\n{text}").split("\n---\n# Source: ").skip(1) {
        let (source, body) = part.split_once('\n').unwrap_or((part, ""));
        objects.extend(read(source, body).unwrap_or_else(|e| panic!("{source}: {e}\n{body}")));
    }
    objects
}

fn read(source: &str, text: &str) -> Result<Objects, String> {
    let documents = yaml::documents(text).map_err(|e| format!("line {}: {}", e.line, e.message))?;
    let values = documents.into_iter().map(|(_, value)| value).filter(|value| *value != Value::Null);
    Ok(values.map(|value| (source.to_owned(), value)).collect())
}

/// What helm's arguments say, as far as rendering knows them.
pub struct Request {
    values: Values,
    release: Release,
    capabilities: Capabilities,
    crds: bool,
    tests: bool,
    hooks: bool,
    schema: bool,
}

impl Request {
    fn read(arguments: &[String], beside: &Path) -> Result<Request, String> {
        let mut request = Request {
            values: Values::new(),
            release: Release::new("rel", "ns"),
            capabilities: Capabilities::default(),
            crds: false,
            tests: true,
            hooks: true,
            schema: true,
        };
        let file = |name: &str| {
            let path = beside.join(name);
            std::fs::read_to_string(path).map_err(|e| ChartError::new(Cause::Values, "", format!("{name}: {e}")))
        };
        let mut given = Vec::new();
        let mut rest = arguments.iter().map(String::as_str);
        while let Some(flag) = rest.next() {
            let mut next = || rest.next().unwrap_or_default();
            match flag {
                "-f" => request.values.add_file(&file(next()).map_err(shown)?).map_err(shown)?,
                "--set-json" => given.push((0, next())),
                "--set" => given.push((1, next())),
                "--set-string" => given.push((2, next())),
                "--set-file" => given.push((3, next())),
                "--set-literal" => given.push((4, next())),
                "--kube-version" => {
                    let version = next();
                    let with_letter = if version.starts_with('v') { version.to_owned() } else { format!("v{version}") };
                    request.capabilities.kube_version = with_letter;
                }
                "--api-versions" => request.capabilities.api_versions.extend(next().split(',').map(str::to_owned)),
                "--is-upgrade" => request.release.is_upgrade = true,
                "--include-crds" => request.crds = true,
                "--skip-tests" => request.tests = false,
                "--no-hooks" => request.hooks = false,
                "--skip-schema-validation" => request.schema = false,
                other => panic!("what is {other}?"),
            }
        }
        given.sort_by_key(|(rank, _)| *rank);
        for (rank, line) in given {
            let style = match rank {
                0 => Style::Json,
                1 => Style::Guess,
                2 => Style::Text,
                3 => Style::File(&file),
                _ => Style::Literal,
            };
            request.values.set(line, &style).map_err(shown)?;
        }
        Ok(request)
    }
}

fn shown(error: ChartError) -> String {
    format!("{error} {}", error.detail)
}

/// What we make of a chart.
pub struct Ours {
    pub objects: Objects,
    pub notes: String,
    pub hooks: Result<Vec<String>, String>,
}

/// Renders as `helm template` does.
pub fn ours(folder: &Path, arguments: &[String]) -> Result<Ours, String> {
    let request = Request::read(arguments, &folder.join("beside"))?;
    let files = directory::read(&RealDisk, &folder.join("chart"), &Limits::default()).map_err(shown)?;
    let chart = Chart::load(files).map_err(shown)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let settings = Settings {
        key: Some([7; 32]),
        scope: "oracle",
        now: (now.as_secs() as i64, now.subsec_nanos()),
        schema: request.schema,
        ..Settings::new(&request.release, &request.capabilities)
    };
    let documents = documents(&chart, &request.values, &settings).map_err(shown)?;
    let mut objects = Vec::new();
    if request.crds {
        for (source, text) in &documents.crds {
            objects.extend(read(source, &String::from_utf8_lossy(text))?);
        }
    }
    let plain = documents.sorted.plain.iter().map(|document| (document.source.clone(), document.value.clone()));
    objects.extend(plain.filter(|(_, value)| *value != Value::Null));
    for (document, events) in &documents.sorted.hooks {
        if request.hooks && (request.tests || !events.contains(&Event::Test)) {
            objects.push((document.source.clone(), document.value.clone()));
        }
    }
    let notes = documents.notes.clone().unwrap_or_default();
    let hooks = collect(&chart, documents).map(|rendered| rendered.hooks.iter().map(told).collect());
    Ok(Ours { objects, notes, hooks: hooks.map_err(shown) })
}

/// A hook in the words of helm's own record of a release.
fn told(hook: &Hook) -> String {
    let event = |event: &Event| match event {
        Event::PreInstall => "pre-install",
        Event::PostInstall => "post-install",
        Event::PreDelete => "pre-delete",
        Event::PostDelete => "post-delete",
        Event::PreUpgrade => "pre-upgrade",
        Event::PostUpgrade => "post-upgrade",
        Event::PreRollback => "pre-rollback",
        Event::PostRollback => "post-rollback",
        Event::Test => "test",
    };
    let policy = |policy: &Delete| match policy {
        Delete::BeforeCreation => "before-hook-creation",
        Delete::Succeeded => "hook-succeeded",
        Delete::Failed => "hook-failed",
    };
    let name = hook.object.manifest.get("metadata").and_then(|metadata| metadata.get("name"));
    let events = hook.events.iter().map(event).collect::<Vec<_>>().join(",");
    let gone = hook.delete.iter().map(policy).collect::<Vec<_>>().join(",");
    let (source, name) = (&hook.object.source, name.and_then(Value::scalar_text).unwrap_or_default());
    format!("{source} {name} on {events} at {} gone {gone}", hook.weight)
}
