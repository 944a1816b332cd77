//! kubectl, as a user types it, against a cluster of the simulator and against a real control plane: what it says
//! and how it ends must be the same.
//!
//! What has no answer on the control plane of the tests, because no kubelet runs there, is tried on the simulator
//! alone. Times, addresses, generated names and the width of columns are made equal.

use std::cell::RefCell;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::arena::{Arena, everywhere, has_kubectl};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: kc, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: c, image: "nginx:1", ports: [{containerPort: 80, name: http}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: kc}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"#;

const WIDGETS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.kc.example.com}
spec:
  group: kc.example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [kcw]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        description: Widget is a thing that has a size.
        properties:
          spec:
            type: object
            description: What is wanted.
            required: [size]
            properties:
              size: {type: integer, description: "How large it is.", maximum: 9}
              mode: {type: string, enum: [fast, slow], default: fast}
            x-kubernetes-validations:
            - {rule: "self.size != 7", message: "seven is taken"}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Mode, type: string, jsonPath: .spec.mode, priority: 1}
"#;

const POLICY: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: waits, namespace: kc}
spec:
  nodeSelector: {no-such: label}
  containers: [{name: c, image: "nginx:1"}]
"#;

const HELD: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: held, namespace: kc, finalizers: [example.com/held]}
"#;

/// Commands in order, with what they read on the standard input. Those that begin with `!` must fail. What a command
/// says is compared whole, but for what `mask` makes equal.
const COMMANDS: &[(&str, &str)] = &[
    ("create namespace kc", ""),
    ("get namespace kc -o jsonpath={.status.phase}", ""),
    ("create configmap m -n kc --from-literal=a=b", ""),
    ("create secret generic s -n kc --from-literal=a=b", ""),
    ("get secret/s -n kc -o jsonpath={.data.a}", ""),
    ("create serviceaccount robot -n kc", ""),
    ("create role r -n kc --verb=get --resource=pods", ""),
    ("create rolebinding r -n kc --role=r --serviceaccount=kc:robot", ""),
    ("get rolebinding r -n kc -o wide", ""),
    ("auth can-i get pods -n kc --as system:serviceaccount:kc:robot", ""),
    ("! auth can-i delete pods -n kc --as system:serviceaccount:kc:robot", ""),
    ("auth can-i create deployments.apps", ""),
    ("apply --server-side -f -", WEB),
    ("apply --server-side -f -", WEB),
    ("diff --server-side -f -", WEB),
    ("rollout status deployment/web -n kc --timeout=60s", ""),
    ("wait --for=condition=Available deployment/web -n kc --timeout=60s", ""),
    ("wait --for=jsonpath={.status.readyReplicas}=2 deployment/web -n kc --timeout=60s", ""),
    ("get deployment web -n kc -o wide", ""),
    ("describe deployment web -n kc", ""),
    ("describe service web -n kc", ""),
    ("get endpointslices -n kc -l kubernetes.io/service-name=web", ""),
    ("explain deployments.spec.strategy", ""),
    ("explain services.spec --recursive", ""),
    ("get replicasets -n kc", ""),
    ("get pods -n kc", ""),
    ("get service web -n kc -o wide", ""),
    ("get pods -n kc --field-selector=status.phase=Pending", ""),
    ("get pods -n kc -l app=none", ""),
    ("! get pods -n kc -l app=in,", ""),
    ("! get deployment none -n kc", ""),
    ("! get nothings -n kc", ""),
    ("apply -n kc -f -", WIDGETS),
    ("wait --for=condition=Established crd/widgets.kc.example.com --timeout=30s", ""),
    ("api-resources --api-group=kc.example.com", ""),
    ("api-resources --api-group=apps -o name", ""),
    ("api-resources --api-group=batch --no-headers", ""),
    ("explain widgets.kc.example.com.spec", ""),
    ("explain widgets.kc.example.com.spec --recursive", ""),
    ("apply -n kc -f -", "{apiVersion: kc.example.com/v1, kind: Widget, metadata: {name: w}, spec: {size: 3}}"),
    ("! apply -n kc -f -", "{apiVersion: kc.example.com/v1, kind: Widget, metadata: {name: x}, spec: {size: 12}}"),
    ("! apply -n kc -f -", "{apiVersion: kc.example.com/v1, kind: Widget, metadata: {name: x}, spec: {size: 7}}"),
    (
        "! apply -n kc -f -",
        "{apiVersion: kc.example.com/v1, kind: Widget, metadata: {name: x}, spec: {size: 1, siez: 2}}",
    ),
    ("get kcw -n kc -o wide", ""),
    ("patch kcw w -n kc --type=merge -p {\"spec\":{\"mode\":\"slow\"}}", ""),
    ("patch kcw w -n kc --subresource=status --type=merge -p {\"status\":{\"phase\":\"Up\"}}", ""),
    ("wait --for=jsonpath={.status.phase}=Up kcw/w -n kc --timeout=10s", ""),
    ("! patch kcw w -n kc -p {\"spec\":{\"size\":4}}", ""),
    ("describe crd widgets.kc.example.com", ""),
    ("describe kcw w -n kc", ""),
    ("patch deployment web -n kc -p {\"spec\":{\"minReadySeconds\":1}}", ""),
    ("patch deployment web -n kc --type=json -p [{\"op\":\"remove\",\"path\":\"/spec/minReadySeconds\"}]", ""),
    ("! patch deployment web -n kc --type=json -p [{\"op\":\"remove\",\"path\":\"/spec/none\"}]", ""),
    ("! patch deployment web -n kc --type=merge -p {\"spec\":{\"replicas\":-1}}", ""),
    ("label deployment web -n kc tier=front", ""),
    ("! label deployment web -n kc tier=back", ""),
    ("label deployment web -n kc tier=back --overwrite", ""),
    ("label deployment web -n kc tier-", ""),
    ("annotate deployment web -n kc note=1", ""),
    ("scale deployment web -n kc --replicas=3", ""),
    ("! scale deployment web -n kc --replicas=1 --current-replicas=9", ""),
    ("set image deployment/web -n kc c=nginx:2", ""),
    ("rollout status deployment/web -n kc --timeout=60s", ""),
    ("rollout restart deployment/web -n kc", ""),
    ("rollout status deployment/web -n kc --timeout=60s", ""),
    ("rollout history deployment/web -n kc", ""),
    ("rollout undo deployment/web -n kc --to-revision=1", ""),
    ("rollout status deployment/web -n kc --timeout=60s", ""),
    ("rollout history deployment/web -n kc", ""),
    ("get deployment web -n kc -o jsonpath={.spec.template.spec.containers[0].image}", ""),
    ("edit deployment web -n kc", ""),
    ("get deployment web -n kc -o jsonpath={.spec.template.spec.containers[0].image}", ""),
    ("replace -f -", "{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: kc}, data: {a: c}}"),
    ("! create -f -", "{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: kc}}"),
    ("apply -f -", "{apiVersion: v1, kind: ConfigMap, metadata: {name: two, namespace: kc}, data: {a: b, c: d}}"),
    ("! diff -f -", "{apiVersion: v1, kind: ConfigMap, metadata: {name: two, namespace: kc}, data: {a: e}}"),
    ("apply -f -", "{apiVersion: v1, kind: ConfigMap, metadata: {name: two, namespace: kc}, data: {a: e}}"),
    ("get configmap two -n kc -o jsonpath={.data}", ""),
    (
        "! apply --server-side --field-manager=other -f -",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: two, namespace: kc}, data: {a: f}}",
    ),
    ("get configmaps -n kc --sort-by=.metadata.name -o name", ""),
    ("create job j -n kc --image=busybox -- true", ""),
    ("! create cronjob cj -n kc --image=busybox --schedule=0/5 -- true", ""),
    ("create cronjob cj -n kc --image=busybox --schedule=@hourly -- true", ""),
    ("get cronjob cj -n kc -o wide", ""),
    ("create job from -n kc --from=cronjob/cj", ""),
    ("get job from -n kc -o jsonpath={.spec.template.spec.containers[0].command}", ""),
    ("autoscale deployment web -n kc --min=1 --max=3 --cpu-percent=80", ""),
    ("create deployment made -n kc --image=nginx --replicas=0", ""),
    ("get deployment made -n kc", ""),
    ("create quota q -n kc --hard=count/configmaps=3,secrets=5", ""),
    ("wait --for=jsonpath={.status.used.secrets} quota/q -n kc --timeout=20s", ""),
    ("! create configmap over -n kc", ""),
    ("delete quota q -n kc", ""),
    ("create poddisruptionbudget b -n kc --selector=app=web --min-available=1", ""),
    ("create priorityclass kc-low --value=5 --description=low", ""),
    ("get priorityclass kc-low", ""),
    ("delete priorityclass kc-low", ""),
    ("create ingress i -n kc --class=none --rule=example.com/=web:80", ""),
    ("get ingress i -n kc", ""),
    ("! create token robot -n kc --duration=1s", ""),
    ("run once -n kc --image=nginx --restart=Never --labels=app=once", ""),
    ("delete pod once -n kc --now", ""),
    ("expose deployment web -n kc --name=more --port=81", ""),
    ("delete service more -n kc --wait=false", ""),
    ("apply -f -", POLICY),
    ("wait --for=condition=PodScheduled=False pod/waits -n kc --timeout=20s", ""),
    ("get pod waits -n kc -o wide", ""),
    ("apply -f -", HELD),
    ("! delete configmap held -n kc --timeout=2s", ""),
    ("! create -f -", HELD),
    ("patch configmap held -n kc --type=merge -p {\"metadata\":{\"finalizers\":null}}", ""),
    ("wait --for=delete configmap/held -n kc --timeout=20s", ""),
    ("delete deployment web -n kc --cascade=orphan", ""),
    ("! get deployment web -n kc", ""),
    ("delete replicasets -l app=web -n kc --cascade=foreground --timeout=60s", ""),
    ("get replicasets -n kc -l app=web", ""),
    ("! top pods -n kc", ""),
    ("delete crd widgets.kc.example.com --timeout=60s", ""),
    ("! get kcw -n kc", ""),
    ("delete namespace kc --timeout=120s", ""),
    ("! get namespace kc", ""),
];

/// Commands whose words differ, each with the reason.
const DIFFERENT: [(&str, &str); 0] = [];

/// Runs kubectl; how it ended and what it said.
fn kubectl(arena: &Arena, words: &[&str], input: &str) -> (i32, String) {
    let mut child = command(arena).args(words).stdin(Stdio::piped()).spawn().expect("kubectl is on the machine");
    // A command that refuses its arguments does not read.
    child.stdin.take().expect("piped").write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().expect("kubectl ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}

fn command(arena: &Arena) -> Command {
    let mut command = Command::new("kubectl");
    command
        .arg("--kubeconfig")
        .arg(arena.folder().join("kubeconfig"))
        .arg("--cache-dir")
        .arg(arena.folder().join("cache"))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", arena.folder())
        .env("TMPDIR", arena.folder())
        .env("KUBE_EDITOR", "sed -i s/nginx:1/nginx:3/")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Makes equal what is different from run to run and from cluster to cluster.
fn mask(text: &str) -> String {
    let line = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(word).collect();
        words.join(" ")
    };
    let kept = text
        .lines()
        .filter(|line| !line.starts_with("diff ") && !line.starts_with("--- ") && !line.starts_with("+++ "));
    // Progress of a rollout is told as often as there is some; what the client's library logs (klog's lines, `E0102
    // 15:04:05…`) hangs on the moment at which a watch is cut.
    let kept = kept.filter(|line| !line.starts_with("Waiting for deployment") && !is_logged(line));
    kept.map(line).collect::<Vec<_>>().join("\n")
}

fn is_logged(line: &str) -> bool {
    let mut chars = line.chars();
    chars.next().is_some_and(|severity| "IWEF".contains(severity))
        && chars.by_ref().take(4).filter(char::is_ascii_digit).count() == 4
        && chars.next() == Some(' ')
}

fn word(word: &str) -> String {
    let is_age = |word: &str| {
        word.ends_with(['s', 'm', 'h', 'd'])
            && word.starts_with(|c: char| c.is_ascii_digit())
            && word.chars().all(|c| c.is_ascii_digit() || "smhd".contains(c))
    };
    let is_time = |word: &str| word.len() >= 20 && word.contains('T') && word.ends_with('Z');
    let is_address =
        |word: &str| word.split('.').count() == 4 && word.split('.').all(|part| part.parse::<u8>().is_ok());
    let bare = word.trim_matches(['"', ',', '(', ')']);
    match () {
        () if is_age(bare) => "<age>".to_owned(),
        () if is_time(bare) => "<time>".to_owned(),
        () if bare.split(',').all(is_address) => "<address>".to_owned(),
        () if bare.len() > 100 && bare.starts_with("eyJ") => "<token>".to_owned(),
        () if bare.len() == 36 && bare.split('-').count() == 5 => "<uid>".to_owned(),
        () => generated(word),
    }
}

/// Hashes of templates and what the API server makes up, in names of what the commands made.
fn generated(word: &str) -> String {
    let Some((kind, name)) = word.split_once('/').map_or(Some(("", word)), |(kind, name)| Some((kind, name))) else {
        return word.to_owned();
    };
    let stem = name.trim_matches('"');
    let made =
        ["web-", "j-", "from-", "made-"].iter().find(|start| stem.starts_with(**start) && stem.len() > start.len() + 4);
    match made {
        Some(start) => format!("{kind}/{start}<generated>"),
        None => word.to_owned(),
    }
}

/// What of a command's words is compared.
fn outcome(command: &str, code: i32, text: &str) -> String {
    let shown = match command.split(' ').next() {
        Some("describe") => headings(text),
        // Of built-in kinds the simulator knows the fields and not what they mean.
        Some("explain") if !command.contains("example.com") => {
            let fields = text.lines().filter(|line| line.contains("\t<"));
            fields.map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
        }
        _ => mask(text),
    };
    format!("$ kubectl {command}\n{shown}\n[{code}]")
}

/// The first words of a description's lines, down to the second level.
fn headings(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("    ") && line.contains(':'));
    let heads: Vec<&str> = lines.map(|line| line.split(':').next().unwrap_or_default().trim_end()).collect();
    heads.join("\n")
}

fn try_all(arena: &Arena) -> Vec<String> {
    let mut outcomes = Vec::new();
    for (line, input) in COMMANDS {
        let (line, fails) = line.strip_prefix("! ").map_or((*line, false), |line| (line, true));
        let words: Vec<&str> = line.split_whitespace().collect();
        // What begins like JSON is taken for it.
        let input = if input.starts_with('{') { format!("---\n{input}") } else { (*input).to_owned() };
        let (mut code, mut text) = kubectl(arena, &words, &input);
        // A real server publishes the schema of a new kind some time after it serves the kind.
        let begun = std::time::Instant::now();
        while line.starts_with("explain") && code != 0 && !fails && begun.elapsed().as_secs() < 60 {
            std::thread::sleep(std::time::Duration::from_millis(500));
            (code, text) = kubectl(arena, &words, &input);
        }
        assert_eq!(code != 0, fails, "{}: kubectl {line}: {text}", arena.name);
        outcomes.push(outcome(line, code, &text));
    }
    outcomes
}

#[test]
fn kubectl_says_what_it_says_of_a_real_cluster() {
    if !has_kubectl() {
        return;
    }
    let runs = RefCell::new(Vec::new());
    everywhere(|arena| runs.borrow_mut().push((arena.name, try_all(arena))));
    let runs = runs.into_inner();
    let [(_, ours), (_, theirs)] = runs.as_slice() else { return };
    let differs = |at: &usize| {
        let known = DIFFERENT.iter().any(|(command, _)| *command == COMMANDS[*at].0);
        ours[*at] != theirs[*at] && !known
    };
    let wrong: Vec<usize> = (0..COMMANDS.len()).filter(differs).collect();
    let each = |at: &usize| format!("--- simulator\n{}\n+++ control plane\n{}\n", ours[*at], theirs[*at]);
    let shown: Vec<String> = wrong.iter().map(each).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), COMMANDS.len(), shown.join("\n"));
}

#[test]
fn a_watch_tells_what_happens() {
    if !has_kubectl() {
        return;
    }
    everywhere(|arena| {
        kubectl(arena, &["create", "namespace", "kc-watch"], "");
        let mut words = vec!["get", "configmaps", "-n", "kc-watch", "-w", "--output-watch-events", "--no-headers"];
        words.extend(["--field-selector", "metadata.name!=kube-root-ca.crt"]);
        let mut watching = command(arena).args(words).stdin(Stdio::null()).spawn().expect("started");
        std::thread::sleep(Duration::from_secs(2));
        kubectl(arena, &["create", "configmap", "seen", "-n", "kc-watch"], "");
        kubectl(arena, &["patch", "configmap", "seen", "-n", "kc-watch", "-p", r#"{"data":{"a":"b"}}"#], "");
        kubectl(arena, &["delete", "configmap", "seen", "-n", "kc-watch"], "");
        std::thread::sleep(Duration::from_secs(2));
        watching.kill().expect("it still watches");
        let output = watching.wait_with_output().expect("it ends");
        kubectl(arena, &["delete", "namespace", "kc-watch", "--wait=false"], "");
        mask(&String::from_utf8_lossy(&output.stdout))
    });
}

#[test]
fn what_needs_a_kubelet() {
    if !has_kubectl() {
        return;
    }
    everywhere(|arena| {
        if arena.name == "simulator" {
            needs_a_kubelet(arena);
        }
    });
}

fn needs_a_kubelet(arena: &Arena) {
    let ok = |words: &str, input: &str| {
        let words: Vec<&str> = words.split_whitespace().collect();
        let (code, text) = kubectl(arena, &words, input);
        assert_eq!(code, 0, "{words:?}: {text}");
        text
    };
    ok("create namespace kc", "");
    ok("apply -f -", WEB);
    ok("apply -f -", POLICY);
    ok("rollout status deployment/web -n kc --timeout=60s", "");
    assert!(ok("logs -n kc deployment/web", "").contains("started with arguments"));

    let mut follow = command(arena).args(["logs", "-f", "-n", "kc", "-l", "app=web"]).spawn().expect("started");
    std::thread::sleep(Duration::from_secs(1));
    assert!(follow.try_wait().expect("asked").is_none(), "a followed log lasts as long as its pod");
    ok("delete deployment web -n kc --wait=false", "");
    let lasted = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(200));
        follow.try_wait().expect("asked").is_some()
    });
    assert!(lasted, "it ends with its pod");

    for (words, refusal) in [
        ("exec -n kc waits -- ls", "nothing can be executed in it"),
        ("attach -n kc waits", "nothing can be attached to it"),
    ] {
        let words: Vec<&str> = words.split_whitespace().collect();
        let (code, text) = kubectl(arena, &words, "");
        assert!(code != 0, "{words:?}: {text}");
        assert!(
            text.contains(refusal) || text.contains("pod is not running") || text.contains("not running"),
            "{text}"
        );
    }

    let described = ok("describe pod waits -n kc", "");
    for part in ["Status:           Pending", "PodScheduled   False", "FailedScheduling", "nodes are available"] {
        assert!(described.contains(part), "{part:?} is missing:\n{described}");
    }
    let nodes = ok("get nodes -o wide", "");
    assert!(nodes.contains("Container-Optimized OS from Google") && nodes.contains("containerd://"), "{nodes}");
    let node = ok("get nodes -o name", "");
    let node = node.lines().next().expect("a node").trim();
    let described = ok(&format!("describe {node}"), "");
    assert!(described.contains("HolderIdentity:") && !described.contains("Failed to get lease"), "{described}");
    let events = ok("get events -n kc --sort-by=.metadata.name", "");
    for reason in
        ["ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Pulled", "Created", "Started", "FailedScheduling"]
    {
        assert!(events.contains(reason), "{reason} is missing:\n{events}");
    }
}
