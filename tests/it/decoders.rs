//! Whatever bytes are read as a journal, a snapshot, a segment, a lease, a saved plan or a lock file: an answer or an
//! error comes back, in little memory. Valid ones are bent, and half of them sealed anew, so that checksums do not
//! keep what is behind them from being tried. `STACKWRIGHT_FUZZ_MINUTES` makes it longer.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stackwright::address::Address;
use stackwright::backend::remote::lease::{Lease, Process};
use stackwright::backend::remote::segment;
use stackwright::chart::Lock;
use stackwright::env::random::{Random, SeededRandom};
use stackwright::plan::file;
use stackwright::plan::model::Plan;
use stackwright::state::codec;
use stackwright::state::model::{Intent, State};
use stackwright::state::transition::Transition;
use stackwright::value::{Template, Value};

/// What one process may use, in KiB: the program and its libraries take about a tenth of it.
const MEMORY: u32 = 1_500_000;

const LOCK: &str = r#"
format = 1
[capabilities]
kubernetes = "1.34"
apis = ["apps/v1", "apps/v1/Deployment"]
[[source]]
id = "charts.web"
reference = "oci://registry.example.com/web"
requested = "^1"
version = "1.2.3"
digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
size = 12345
"#;

fn journal() -> (State, Vec<u8>) {
    let (mut state, mut bytes) = (State::empty("demo"), Vec::new());
    let address = |n: u8| Address::new(format!("values.n{n}"));
    let mut steps = vec![Transition::Begin { lineage: "l".into(), stack_id: "0123456789abcdef".into() }];
    for n in 0..6 {
        steps.push(Transition::Intent {
            address: address(n),
            kind: "value".into(),
            action: Intent::Create,
            at: 1_790_000_000_000,
            needs: vec![address(n + 1)],
            connection: None,
        });
        let record = Value::from_json(&serde_json::json!({"a": [1, -2.5e300, null], "b": {"$$deferred": true}}));
        steps.push(Transition::Applied {
            identity: address(n).identity(),
            id: "x".into(),
            record: record.into(),
            secrets: BTreeMap::from([("token".to_owned(), "0".repeat(64))]),
            ready: n % 2 == 0,
        });
    }
    steps.push(Transition::Moved { from: address(2).identity(), to: address(40) });
    steps.push(Transition::Outputs(BTreeMap::from([("o".to_owned(), Value::from(Template::secret("token")))])));
    for step in steps {
        state.apply(&step).expect("legal");
        codec::encode_record(state.serial, &step, &mut bytes);
    }
    (state, bytes)
}

fn plan() -> Vec<u8> {
    let plan = serde_json::json!({
        "format": 2, "stack": "demo", "basis": {"lineage": "l", "serial": 3, "target": null, "secrets": {}},
        "changes": [{"address": "values.a", "kind": "value", "action": "update", "reason": {"forced": [["a", "b"]]},
            "changes": [{"path": ["input"], "before": 1, "after": {"$deferred": {"parts": [{"secret": "s"}]}}}],
            "after": {"input": [1, 2, {"x": "y"}]}, "timeout_seconds": 60, "estimate_seconds": 1}],
        "edges": [{"dependent": "values.a", "dependency": "values.b", "reasons": ["why"]}],
        "drift": [], "outputs": {"o": {"before": null, "after": "x"}},
        "proofs": [{"component": "w", "url": "https://a", "model": "m", "ca": null, "server_name": null, "timeout_seconds": 5}],
    });
    file::encode(&serde_json::from_value::<Plan>(plan).expect("a plan"))
}

/// Reads one thing; what comes back is of no interest but that it comes.
type Reader = fn(&[u8]);

/// Valid ones of every format, with whoever reads them.
fn targets() -> Vec<(&'static str, Vec<u8>, Reader)> {
    let (state, records) = journal();
    let header = segment::Header { segment: 7, epoch: 3, run: "0123456789abcdef".into() };
    let lease = Lease::new(3, "r", "process 7 of me", Some(Process { realm: "b".into(), pid: 7 }));
    vec![
        ("journal", records.clone(), |bytes| drop(codec::replay(&mut State::empty("demo"), bytes))),
        ("snapshot", codec::encode_snapshot(&state), |bytes| {
            if let Ok(state) = codec::decode_snapshot(bytes) {
                // What was read can be kept.
                assert_eq!(codec::decode_snapshot(&codec::encode_snapshot(&state)), Ok(state));
            }
        }),
        ("segment", segment::encode(&header, &records), |bytes| {
            drop(segment::replay(&mut State::empty("demo"), bytes, 7));
        }),
        ("lease", lease.encode(), |bytes| {
            if let Some(lease) = Lease::decode(bytes) {
                lease.standing(Duration::from_secs(1), Some("b"), |_| true);
            }
        }),
        ("plan", plan(), |bytes| drop(file::decode(bytes))),
        ("lock", LOCK.as_bytes().to_vec(), |bytes| drop(std::str::from_utf8(bytes).map(Lock::decode))),
    ]
}

struct Bender {
    random: SeededRandom,
}

impl Bender {
    fn below(&self, end: usize) -> usize {
        usize::try_from(self.random.next() % end.max(1) as u64).expect("small")
    }

    /// One change of any sort.
    fn bend(&self, bytes: &mut Vec<u8>) {
        const WORDS: &[&[u8]] = &[
            b"18446744073709551615",
            b"-9223372036854775809",
            b"1e999",
            b"null",
            b"[[[[[[[[",
            b"{\"a\":",
            b"\"\\ud800\"",
            b"\xff\xfe",
            b"\0",
            b"\n",
            b"\"",
            b"{}",
            b"[]",
            b"true",
            b"\"begin\"",
            b"\"intent\"",
            b"$deferred",
            b"serial",
            b",",
        ];
        let at = self.below(bytes.len() + 1);
        let to = (at + self.below(40)).min(bytes.len());
        match self.below(9) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).expect("a byte"),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..to)),
            5 => {
                let copy = bytes[at..to].to_vec();
                let there = self.below(bytes.len() + 1);
                bytes.splice(there..there, copy.repeat(1 + self.below(if self.below(50) == 0 { 2_000 } else { 3 })));
            }
            6 | 7 => drop(bytes.splice(at..to.min(at + self.below(3)), WORDS[self.below(WORDS.len())].iter().copied())),
            _ => {
                let length = self.below(64);
                let mut noise = vec![0; length];
                self.random.fill(&mut noise);
                bytes.splice(at..at, noise);
            }
        }
    }

    /// A valid one, bent, so that what is behind checksum and packing is reached as often as they are.
    fn bent(&self, name: &str, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        let times = 1 + self.below(4);
        let within = self.below(2) == 0;
        match name {
            "plan" if within => {
                let line = bytes.iter().position(|b| *b == b'\n').expect("a first line") + 1;
                let mut inner = Vec::new();
                flate2::read::GzDecoder::new(&bytes[line..]).read_to_end(&mut inner).expect("packed");
                (0..times).for_each(|_| self.bend(&mut inner));
                let mut packer = flate2::write::GzEncoder::new(bytes[..line].to_vec(), flate2::Compression::fast());
                packer.write_all(&inner).expect("memory");
                packer.finish().expect("memory")
            }
            "journal" | "snapshot" | "segment" | "lease" if within => {
                let mut lines = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
                for _ in 0..times {
                    let at = self.below(lines.len());
                    let mut payload = lines[at].get(9..).unwrap_or_default().to_vec();
                    payload.retain(|b| *b != b'\n');
                    self.bend(&mut payload);
                    payload.retain(|b| *b != b'\n');
                    lines[at] = codec::sealed(&payload);
                }
                lines.concat()
            }
            _ => {
                (0..times).for_each(|_| self.bend(&mut bytes));
                bytes
            }
        }
    }
}

/// The work itself, in a process that may use little memory; started by the test below.
#[test]
#[ignore = "started by decoders_answer_whatever_they_are_given, with a limit"]
fn attack() {
    let seconds = std::env::var("STACKWRIGHT_ATTACK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let seed = std::env::var("STACKWRIGHT_ATTACK_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let (bender, targets) = (Bender { random: SeededRandom::new(seed) }, targets());
    assert!(Lock::decode(LOCK).is_ok() && file::decode(&plan()).is_ok(), "what is bent is valid at first");
    for (name, whole, read) in &targets {
        read(whole);
        // The hostile ones that chance does not find: deep, long, and packed to nothing.
        let before = Instant::now();
        for text in ["[".repeat(1 << 20), "{\"a\":".repeat(1 << 18), "9".repeat(1 << 20)] {
            read(text.as_bytes());
            read(&codec::sealed(text.as_bytes()));
        }
        if *name == "plan" {
            let line = whole.iter().position(|b| *b == b'\n').expect("a first line") + 1;
            let mut bomb = flate2::write::GzEncoder::new(whole[..line].to_vec(), flate2::Compression::best());
            bomb.write_all(b"{\"stack\":\"").expect("memory");
            let much = vec![b'a'; 1 << 20];
            (0..100).for_each(|_| bomb.write_all(&much).expect("memory"));
            read(&bomb.finish().expect("memory"));
        }
        println!("{name}: the hostile ones took {} ms", before.elapsed().as_millis());
        assert!(before.elapsed() < Duration::from_secs(30), "{name}");
    }
    let begun = Instant::now();
    let (mut tried, mut longest) = (0u64, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(seconds) {
        for (name, whole, read) in &targets {
            let bytes = bender.bent(name, whole);
            let before = Instant::now();
            let read = std::panic::catch_unwind(|| read(&bytes));
            longest = longest.max(before.elapsed());
            assert!(read.is_ok(), "{name}: {}", String::from_utf8_lossy(&bytes).escape_debug());
            tried += 1;
        }
    }
    println!("{tried} tried, the slowest in {} ms", longest.as_millis());
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}

#[test]
fn decoders_answer_whatever_they_are_given() {
    let minutes = std::env::var("STACKWRIGHT_FUZZ_MINUTES").ok().and_then(|m| m.parse::<u64>().ok());
    let (seconds, seed) = minutes.map_or((6, 1), |minutes| (minutes * 60, u64::from(std::process::id())));
    let worker = std::env::current_exe().expect("this program");
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" --exact decoders::attack --ignored --nocapture")])
        .arg(worker)
        .envs([("STACKWRIGHT_ATTACK_SECONDS", seconds.to_string()), ("STACKWRIGHT_ATTACK_SEED", seed.to_string())])
        .stdin(Stdio::null())
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    let end = said.len().saturating_sub(4_000);
    let tail = said.get(end..).unwrap_or(&said);
    assert!(output.status.success(), "seed {seed}: {tail}{}", String::from_utf8_lossy(&output.stderr));
    let tried = said.lines().find(|line| line.contains(" tried, ")).expect("it says how many were tried");
    println!("seed {seed}: {tried}");
    let number = tried.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number");
    assert!(number > 500, "{tried}");
}
