//! What goes wrong in a world: stock-outs, quotas, refused and lost requests, slow and stuck operations.
//!
//! Rules are a document (`faults.json` in the world's directory, or PUT to `/sim/v1/faults`); how often each has
//! struck is kept in the world, so that a killed process does not start counting again. A rule never changes
//! what the simulator stores, only what happens next.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::env::clock::{SharedClock, Timestamp};
use crate::sim::google::answer::Refusal;
use crate::sim::world::World;

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// No capacity: creations run for 35 minutes and fail.
    Stockout {
        /// A zone; empty for every zone.
        #[serde(default)]
        zone: String,
        /// `nvidia-tesla-t4`, `tpu-v6e`, or a machine type; empty for everything.
        #[serde(default)]
        accelerator: String,
        /// Simulated seconds after the world's beginning at which it starts.
        #[serde(default)]
        from: u64,
        /// … and ends.
        #[serde(default)]
        until: Option<u64>,
    },
    /// A quota other than the default.
    Quota {
        /// A region; empty for every region.
        #[serde(default)]
        region: String,
        /// `NVIDIA_T4_GPUS`, `CPUS`, `TPUS_PER_TPU_FAMILY:CT6E`, …
        metric: String,
        /// The limit.
        limit: f64,
        /// Simulated seconds after the rules were set at which it starts.
        #[serde(default)]
        from: u64,
        /// … and ends.
        #[serde(default)]
        until: Option<u64>,
    },
    /// Requests are answered with an error and not carried out.
    Http {
        /// `GET`, `POST`, …; empty for all.
        #[serde(default)]
        method: String,
        /// A path in which `*` stands for any text.
        #[serde(default = "anything")]
        path: String,
        /// The first matching request that it strikes, counted from 1.
        #[serde(default = "one")]
        nth: u64,
        /// How many in a row.
        #[serde(default = "one")]
        times: u64,
        /// HTTP status: 401, 403, 429, 500, 502, 503.
        status: u16,
    },
    /// Requests are carried out, and the connection is closed instead of the answer.
    LostAnswer {
        /// As above.
        #[serde(default)]
        method: String,
        /// As above.
        #[serde(default = "anything")]
        path: String,
        /// As above.
        #[serde(default = "one")]
        nth: u64,
        /// As above.
        #[serde(default = "one")]
        times: u64,
    },
    /// Requests are answered after this many seconds.
    Delay {
        /// As above.
        #[serde(default)]
        method: String,
        /// As above.
        #[serde(default = "anything")]
        path: String,
        /// As above.
        #[serde(default = "one")]
        nth: u64,
        /// As above.
        #[serde(default = "one")]
        times: u64,
        /// Seconds.
        seconds: u64,
    },
    /// Each of many requests fails by the toss of a seeded coin.
    Flaky {
        /// As above.
        #[serde(default)]
        method: String,
        /// As above.
        #[serde(default = "anything")]
        path: String,
        /// HTTP status.
        status: u16,
        /// How many of a hundred.
        percent: u64,
        /// Which hundred.
        #[serde(default)]
        seed: u64,
    },
    /// Operations of a type take longer.
    Slow {
        /// `CREATE_CLUSTER`, …; empty for all.
        #[serde(default)]
        operation: String,
        /// By which factor.
        factor: f64,
        /// The first that it strikes.
        #[serde(default = "one")]
        nth: u64,
        /// How many in a row.
        #[serde(default = "forever")]
        times: u64,
    },
    /// Operations of a type never end.
    Stuck {
        /// As above.
        operation: String,
        /// As above.
        #[serde(default = "one")]
        nth: u64,
        /// As above.
        #[serde(default = "one")]
        times: u64,
    },
    /// Operations of a type end with this error.
    Fail {
        /// As above.
        operation: String,
        /// As above.
        #[serde(default = "one")]
        nth: u64,
        /// As above.
        #[serde(default = "one")]
        times: u64,
        /// `statusMessage`.
        message: String,
    },
    /// Bearer tokens are refused with 401 this many seconds after their first use.
    TokenExpiry {
        /// Seconds.
        seconds: u64,
    },
    /// More operations at once on one cluster than this are refused with 429.
    OperationQuota {
        /// How many.
        limit: usize,
    },
    /// An API is switched off.
    ServiceDisabled {
        /// `container.googleapis.com`.
        service: String,
    },
    /// The account lacks a right: testIamPermissions says so. Calls that need it are refused by rules on requests.
    PermissionMissing {
        /// `container.clusters.create`.
        permission: String,
    },
    /// Pulling images fails inside clusters.
    ImagePull {
        /// Images, with `*` for any text.
        #[serde(default = "anything")]
        image: String,
        /// What the container runtime says.
        #[serde(default = "no_such_image")]
        message: String,
        /// Simulated seconds after the rules were set at which it starts.
        #[serde(default)]
        from: u64,
        /// … and ends.
        #[serde(default)]
        until: Option<u64>,
    },
    /// Pulling images takes longer inside clusters.
    SlowPull {
        /// Images, with `*` for any text.
        #[serde(default = "anything")]
        image: String,
        /// By which factor.
        factor: f64,
    },
    /// The hub of models refuses to hand out files.
    ModelHub {
        /// Repositories, with `*` for any text.
        #[serde(default = "anything")]
        repository: String,
        /// What it says.
        answer: HubAnswer,
        /// As above.
        #[serde(default)]
        from: u64,
        /// As above.
        #[serde(default)]
        until: Option<u64>,
    },
    /// Pods get no network.
    Sandbox {
        /// Pods as `namespace/name`, with `*` for any text.
        #[serde(default = "anything")]
        pod: String,
        /// What the container runtime says.
        #[serde(default = "no_network")]
        message: String,
        /// As above.
        #[serde(default)]
        from: u64,
        /// As above.
        #[serde(default)]
        until: Option<u64>,
    },
    /// Running containers end against their will.
    Crash {
        /// Pods as `namespace/name`, with `*` for any text.
        pod: String,
        /// Container; empty for all.
        #[serde(default)]
        container: String,
        /// Exit code; 137 is an out-of-memory kill.
        #[serde(default = "exit_code")]
        code: i32,
        /// Its last line.
        #[serde(default)]
        log: String,
        /// As above.
        #[serde(default)]
        from: u64,
        /// As above.
        #[serde(default)]
        until: Option<u64>,
    },
    /// Webhooks answer late, or not at all.
    Webhook {
        /// Services as `namespace/name`, with `*` for any text.
        #[serde(default = "anything")]
        service: String,
        /// Seconds until the answer; none at all when absent.
        #[serde(default)]
        seconds: Option<u64>,
        /// As above.
        #[serde(default)]
        from: u64,
        /// As above.
        #[serde(default)]
        until: Option<u64>,
    },
    /// Load balancers get no address.
    LoadBalancerStuck {
        /// Services as `namespace/name`, with `*` for any text.
        #[serde(default = "anything")]
        service: String,
        /// As above.
        #[serde(default)]
        from: u64,
        /// As above.
        #[serde(default)]
        until: Option<u64>,
    },
    /// Nodes stop reporting.
    NodeLost {
        /// Nodes, with `*` for any text.
        node: String,
        /// As above.
        #[serde(default)]
        from: u64,
        /// As above.
        #[serde(default)]
        until: Option<u64>,
    },
    /// Things of the Compute API stay when what made them is deleted in good order.
    Leak {
        /// `forwardingRules`, `disks`, …, with `*` for any text.
        #[serde(default = "anything")]
        collection: String,
        /// Names, with `*` for any text.
        #[serde(default = "anything")]
        name: String,
    },
    /// Lists of the Compute API leave a place out, and say so.
    Unreachable {
        /// `zones/us-central1-a`, `regions/us-central1`, with `*` for any text.
        place: String,
        /// As above.
        #[serde(default = "anything")]
        collection: String,
    },
    /// What a load balancer or disk leaves behind when its cluster is deleted with it in use.
    Leftovers {
        /// Whether deletes of clusters leave load balancers and disks; they do by default.
        keep: bool,
    },
}

/// What the hub of models answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HubAnswer {
    /// The token is not one of its own.
    Unauthorized,
    /// Whoever asks has not been let in to a repository behind a licence.
    Restricted,
    /// There is no such repository.
    Missing,
    /// None: the connection times out.
    Unreachable,
}

fn no_network() -> String {
    "failed to setup network for sandbox: plugin type=\"istio-cni\" name=\"istio-cni\" failed (add): failed to find plugin \
     \"istio-cni\" in path [/home/kubernetes/bin]"
        .to_owned()
}

fn one() -> u64 {
    1
}

fn forever() -> u64 {
    u64::MAX
}

fn exit_code() -> i32 {
    1
}

fn no_such_image() -> String {
    "rpc error: code = NotFound desc = failed to pull and unpack image: not found".to_owned()
}

fn anything() -> String {
    "*".to_owned()
}

/// A request, as far as rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path, without its query.
    pub path: &'a str,
    /// The bearer token.
    pub token: Option<&'a str>,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Interference {
    /// It is answered so and not carried out.
    Answer(Refusal),
    /// It is carried out; nobody learns of it.
    HangUp,
    /// It waits.
    Delay(Duration),
}

impl Interference {
    /// In a word, for the books.
    pub fn word(&self) -> String {
        match self {
            Interference::Answer(refusal) => format!("http-{}", refusal.code),
            Interference::HangUp => "lost-answer".to_owned(),
            Interference::Delay(_) => "delay".to_owned(),
        }
    }
}

/// What happens to an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It takes this many times as long.
    Slow(f64),
    /// It never ends.
    Stuck,
    /// It ends with this message.
    Fail(String),
}

const SECTION: &str = "faults";

/// The rules of a world.
pub struct Faults {
    world: Arc<World>,
    clock: SharedClock,
}

impl Faults {
    /// The rules kept in `world`.
    pub fn new(world: Arc<World>, clock: SharedClock) -> Self {
        Faults { world, clock }
    }

    /// Replaces the rules: `{"faults": [...]}`. Counts start again.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub fn set(&self, document: &Json) -> Result<(), String> {
        // Rules under another name would never strike, and nobody would know.
        if let Some(other) = document.as_object().and_then(|keys| keys.keys().find(|key| *key != "faults")) {
            return Err(format!("there is no key `{other}`: rules stand under `faults`"));
        }
        let rules = document.get("faults").cloned().unwrap_or_else(|| json!([]));
        let parsed: Vec<Fault> = serde_json::from_value(rules.clone()).map_err(|error| error.to_string())?;
        self.world.remove_section(SECTION);
        for (index, fault) in parsed.iter().enumerate() {
            let fault = serde_json::to_value(fault).map_err(|error| error.to_string())?;
            self.world.put(SECTION, &format!("rule-{index:04}"), fault);
        }
        self.world.put(SECTION, "since", json!(self.clock.now().0));
        Ok(())
    }

    /// The document.
    pub fn get(&self) -> Json {
        json!({ "faults": self.rules().into_iter().map(|(_, fault)| fault).collect::<Vec<_>>() })
    }

    /// Forgets how often each rule has struck.
    pub fn reset(&self) {
        for key in self.world.section(SECTION).into_keys().filter(|key| !key.starts_with("rule-")) {
            self.world.remove(SECTION, &key);
        }
        self.world.put(SECTION, "since", json!(self.clock.now().0));
    }

    /// The rules that hold now, of those with a beginning and an end.
    pub fn present(&self) -> Vec<Fault> {
        let age = self.age();
        let now = |from: u64, until: Option<u64>| age >= from && until.is_none_or(|until| age < until);
        let holds = |fault: &Fault| match fault {
            Fault::Stockout { from, until, .. }
            | Fault::Quota { from, until, .. }
            | Fault::ModelHub { from, until, .. }
            | Fault::Sandbox { from, until, .. }
            | Fault::ImagePull { from, until, .. }
            | Fault::Crash { from, until, .. }
            | Fault::Webhook { from, until, .. }
            | Fault::LoadBalancerStuck { from, until, .. }
            | Fault::NodeLost { from, until, .. } => now(*from, *until),
            _ => true,
        };
        self.rules().into_iter().map(|(_, fault)| fault).filter(holds).collect()
    }

    fn rules(&self) -> Vec<(String, Fault)> {
        let section = self.world.section(SECTION);
        let rules = section.into_iter().filter(|(key, _)| key.starts_with("rule-"));
        rules.filter_map(|(key, fault)| Some((key, serde_json::from_value((*fault).clone()).ok()?))).collect()
    }

    /// Seconds since the rules were set.
    fn age(&self) -> u64 {
        let since = self.world.get(SECTION, "since").and_then(|s| s.as_u64()).unwrap_or_default();
        self.clock.now().since(Timestamp(since)).as_secs()
    }

    /// Counts one more event of a rule and says whether it strikes.
    fn strikes(&self, rule: &str, nth: u64, times: u64) -> bool {
        let key = format!("count-{rule}");
        let seen = self.world.get(SECTION, &key).and_then(|n| n.as_u64()).unwrap_or(0) + 1;
        self.world.put(SECTION, &key, json!(seen));
        seen >= nth && seen - nth < times
    }

    /// What happens to a request, if anything.
    pub fn on_request(&self, asked: &Asked<'_>) -> Option<Interference> {
        let matches = |method: &str, path: &str| {
            (method.is_empty() || method.eq_ignore_ascii_case(asked.method)) && glob(path, asked.path)
        };
        let mut result = None;
        for (rule, fault) in self.rules() {
            let struck = match fault {
                Fault::Http { method, path, nth, times, status } if matches(&method, &path) => {
                    self.strikes(&rule, nth, times).then(|| Interference::Answer(refusal(status)))
                }
                Fault::LostAnswer { method, path, nth, times } if matches(&method, &path) => {
                    self.strikes(&rule, nth, times).then_some(Interference::HangUp)
                }
                Fault::Delay { method, path, nth, times, seconds } if matches(&method, &path) => {
                    self.strikes(&rule, nth, times).then_some(Interference::Delay(Duration::from_secs(seconds)))
                }
                Fault::Flaky { method, path, status, percent, seed } if matches(&method, &path) => {
                    let key = format!("count-{rule}");
                    self.strikes(&rule, 1, 1);
                    let count = self.world.get(SECTION, &key).and_then(|n| n.as_u64()).unwrap_or_default();
                    let coin = crate::env::random::SeededRandom::new(seed.wrapping_mul(1_000_003).wrapping_add(count));
                    (coin.next() % 100 < percent).then(|| Interference::Answer(refusal(status)))
                }
                Fault::TokenExpiry { seconds } => {
                    self.expired(asked.token, seconds).then(|| Interference::Answer(refusal(401)))
                }
                _ => None,
            };
            result = result.or(struck);
        }
        result
    }

    fn expired(&self, token: Option<&str>, seconds: u64) -> bool {
        let Some(token) = token else { return false };
        // The token itself is not written down.
        let digest = <sha2::Sha256 as sha2::Digest>::digest(token.as_bytes());
        let key = format!("token-{}", digest[..8].iter().map(|b| format!("{b:02x}")).collect::<String>());
        match self.world.get(SECTION, &key).and_then(|t| t.as_u64()) {
            Some(first) => self.clock.now().since(Timestamp(first)).as_secs() >= seconds,
            None => {
                self.world.put(SECTION, &key, json!(self.clock.now().0));
                false
            }
        }
    }

    /// What happens to a new operation, if anything.
    pub fn on_operation(&self, operation: &str) -> Option<Fate> {
        let matches = |wanted: &str| wanted.is_empty() || wanted == operation;
        let mut result = None;
        for (rule, fault) in self.rules() {
            let fate = match fault {
                Fault::Slow { operation, factor, nth, times } if matches(&operation) => {
                    self.strikes(&rule, nth, times).then_some(Fate::Slow(factor))
                }
                Fault::Stuck { operation, nth, times } if matches(&operation) => {
                    self.strikes(&rule, nth, times).then_some(Fate::Stuck)
                }
                Fault::Fail { operation, nth, times, message } if matches(&operation) => {
                    self.strikes(&rule, nth, times).then_some(Fate::Fail(message))
                }
                _ => None,
            };
            result = result.or(fate);
        }
        result
    }

    /// Whether the zone has no capacity now for a machine type with these accelerators, and until when.
    pub fn stockout(&self, zone: &str, machine: &str, accelerator: &str) -> Option<Option<Timestamp>> {
        let age = self.age();
        let start = self.world.get(SECTION, "since").and_then(|s| s.as_u64()).unwrap_or_default();
        self.rules().into_iter().find_map(|(_, fault)| {
            let Fault::Stockout { zone: z, accelerator: a, from, until } = fault else { return None };
            let what =
                a.is_empty() || a == accelerator || a == machine || (a == "tpu-v6e" && machine.starts_with("ct6e"));
            let now = age >= from && until.is_none_or(|until| age < until);
            let end = until.map(|until| Timestamp(start).plus(Duration::from_secs(until)));
            ((z.is_empty() || z == zone) && what && now).then_some(end)
        })
    }

    /// A quota other than the default.
    pub fn quota(&self, region: &str, metric: &str) -> Option<f64> {
        self.present().into_iter().find_map(|fault| match fault {
            Fault::Quota { region: r, metric: m, limit, .. } if (r.is_empty() || r == region) && m == metric => {
                Some(limit)
            }
            _ => None,
        })
    }

    /// How many operations a cluster takes at once.
    pub fn operation_quota(&self) -> Option<usize> {
        self.rules().into_iter().find_map(|(_, fault)| match fault {
            Fault::OperationQuota { limit } => Some(limit),
            _ => None,
        })
    }

    /// Whether an API is switched off.
    pub fn disabled(&self, service: &str) -> bool {
        self.rules().iter().any(|(_, fault)| matches!(fault, Fault::ServiceDisabled { service: s } if s == service))
    }

    /// Whether the account lacks a right.
    pub fn lacks(&self, permission: &str) -> bool {
        let is = |fault: &Fault| matches!(fault, Fault::PermissionMissing { permission: p } if p == permission);
        self.rules().iter().any(|(_, fault)| is(fault))
    }

    /// Whether a thing of the Compute API stays although it was deleted.
    pub fn leaks(&self, collection: &str, name: &str) -> bool {
        self.rules().iter().any(|(_, fault)| match fault {
            Fault::Leak { collection: c, name: n } => glob(c, collection) && glob(n, name),
            _ => false,
        })
    }

    /// Which of these places a list of the Compute API leaves out.
    pub fn unreachable<'a>(&self, collection: &str, places: impl Iterator<Item = &'a String>) -> Vec<String> {
        let hides = |(_, fault): (String, Fault)| match fault {
            Fault::Unreachable { place, collection: c } if glob(&c, collection) => Some(place),
            _ => None,
        };
        let hidden = self.rules().into_iter().filter_map(hides).collect::<Vec<_>>();
        places.filter(|place| hidden.iter().any(|pattern| glob(pattern, place))).cloned().collect()
    }

    /// Whether deleting a cluster leaves its load balancers and disks.
    pub fn leftovers(&self) -> bool {
        let keep = self.rules().into_iter().find_map(|(_, fault)| match fault {
            Fault::Leftovers { keep } => Some(keep),
            _ => None,
        });
        keep.unwrap_or(true)
    }
}

fn refusal(status: u16) -> Refusal {
    match status {
        401 => Refusal::new(
            401,
            "UNAUTHENTICATED",
            "authError",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
             valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        )
        .because("ACCESS_TOKEN_EXPIRED", "googleapis.com", json!({})),
        403 => Refusal::denied("Permission denied.").because("IAM_PERMISSION_DENIED", "container.googleapis.com", json!({})),
        429 => Refusal::new(429, "RESOURCE_EXHAUSTED", "rateLimitExceeded", "Quota exceeded for requests per minute."),
        500 => Refusal::new(500, "INTERNAL", "backendError", "Internal error encountered."),
        503 => Refusal::new(503, "UNAVAILABLE", "backendError", "The service is currently unavailable."),
        other => Refusal::new(other, "UNKNOWN", "backendError", "Unknown error."),
    }
}

/// Whether `text` matches a pattern in which `*` stands for any text.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::clock::Clock as _;
    use crate::env::discrete::DiscreteClock;

    fn faults(rules: Json) -> Faults {
        let faults = Faults::new(World::in_memory(), Arc::new(DiscreteClock::new(Timestamp(1_000))));
        faults.set(&json!({ "faults": rules })).expect("valid");
        faults
    }

    #[test]
    fn patterns() {
        assert!(glob("*", "/a") && glob("/v1/*/clusters", "/v1/p/clusters") && glob("/a*b*c", "/axbyc"));
        assert!(!glob("/v1/*/clusters", "/v1/p/clusters/c") && !glob("/a", "/ab") && !glob("/a*ab", "/ab"));
    }

    #[test]
    fn counts_survive_in_the_world() {
        let faults = faults(json!([{"kind": "stuck", "operation": "CREATE_CLUSTER", "nth": 2}]));
        assert_eq!(faults.on_operation("CREATE_CLUSTER"), None);
        assert_eq!(faults.on_operation("DELETE_CLUSTER"), None);
        assert_eq!(faults.on_operation("CREATE_CLUSTER"), Some(Fate::Stuck));
        assert_eq!(faults.on_operation("CREATE_CLUSTER"), None);
    }

    #[test]
    fn a_stockout_is_of_a_zone_and_an_accelerator() {
        let faults = faults(json!([{"kind": "stockout", "zone": "us-central1-a", "accelerator": "nvidia-tesla-t4"}]));
        assert_eq!(faults.stockout("us-central1-a", "n1-standard-4", "nvidia-tesla-t4"), Some(None));
        assert_eq!(faults.stockout("us-central1-a", "n1-standard-4", ""), None);
        assert_eq!(faults.stockout("us-central1-b", "n1-standard-4", "nvidia-tesla-t4"), None);
    }

    #[test]
    fn a_quota_may_come_and_go() {
        let clock = DiscreteClock::new(Timestamp(1_000));
        let faults = Faults::new(World::in_memory(), Arc::new(clock.clone()));
        let rule = json!({"kind": "quota", "metric": "CPUS", "limit": 1.0, "from": 60, "until": 120});
        faults.set(&json!({ "faults": [rule, {"kind": "model-hub", "answer": "missing"}] })).expect("valid");
        let runtime = clock.runtime().expect("runtime");
        for (wait, limit) in [(0, None), (60, Some(1.0)), (60, None)] {
            runtime.block_on(clock.sleep(Duration::from_secs(wait)));
            assert_eq!(faults.quota("us-central1", "CPUS"), limit, "after {wait} s more");
        }
        assert!(faults.present().iter().any(|f| matches!(f, Fault::ModelHub { answer: HubAnswer::Missing, .. })));
    }

    #[test]
    fn mistakes_in_the_document_are_named() {
        let faults = Faults::new(World::in_memory(), Arc::new(DiscreteClock::new(Timestamp(0))));
        let error = faults.set(&json!({"faults": [{"kind": "stock-out"}]})).expect_err("unknown kind");
        assert!(error.contains("stock-out"), "{error}");
    }
}
