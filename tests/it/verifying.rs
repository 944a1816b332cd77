//! `verify`, `status` and `bench` as a user types them, for a shipped stack on the simulator.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

fn stackwright(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("MODEL_KEY", "not-asked-for")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs and wants this exit code; standard output.
#[track_caller]
fn run(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = stackwright(folder, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    if code == 0 { out } else { out + &err }
}

fn json(folder: &Path, code: i32, arguments: &[&str]) -> Json {
    let output = stackwright(folder, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_stack_is_verified_and_measured() {
    let folder = tempfile::tempdir().expect("tempdir");
    let folder = folder.path();
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/gpu-t4.toml");
    std::fs::copy(stack, folder.join("stack.toml")).expect("copy");
    // Before there is anything.
    let said = run(folder, 1, &["verify", "--sim"]);
    assert!(said.contains("nothing of this stack is recorded") && said.contains("stackwright apply"), "{said}");
    run(folder, 0, &["apply", "--sim", "--auto-approve"]);

    let said = run(folder, 0, &["verify", "--sim", "--junit", "report.xml"]);
    for line in [
        "ok      api server: ",
        "ok      pools: ",
        "ok      operator: ",
        "ok      webhooks: ",
        "ok      address: 203.0.113.",
        "ok      certificate: ",
        "ok      service: ",
        "ok      route: ",
        "ok      tls: for inference.gpu-t4.internal, signed by ",
        "ok      /health: 200",
        "ok      /v1/models: Qwen/Qwen2.5-3B-Instruct, contexts of 4096 tokens",
        "ok      completion: first token after 0.",
        "ok      chat: ",
        "ok      stream: 16 pieces",
        "-       embeddings: the model has none",
        "ok      cache metrics of qwen-3b-gpu-svc-",
    ] {
        assert!(said.contains(line), "{line:?} is missing:\n{said}");
    }
    assert!(said.contains("Verified: "), "{said}");
    let report = std::fs::read_to_string(folder.join("report.xml")).expect("written");
    assert!(report.contains("failures=\"0\"") && report.contains("name=\"webhooks\""), "{report}");

    // The same server without the stack: its CA has to be given.
    let outputs = json(folder, 0, &["output", "--sim", "--json"]);
    let url = outputs["endpoint"].as_str().expect("a URL").to_owned();
    std::fs::write(folder.join("ca.pem"), outputs["ca_certificate"].as_str().expect("PEM")).expect("writable");
    let named = ["--server-name", "inference.gpu-t4.internal"];
    let there = [&["verify", "--sim", "--endpoint", &url, "--ca", "ca.pem", "--json"][..], &named].concat();
    let found = json(folder, 0, &there);
    assert_eq!(found["verified"], true, "{found:#}");
    let strangers = [&["verify", "--sim", "--endpoint", &url, "--json"][..], &named].concat();
    let found = json(folder, 1, &strangers);
    assert!(found["checks"][0]["fact"].as_str().expect("a fact").contains("does not know"), "{found:#}");
    let said = run(folder, 1, &["verify", "--endpoint", &url, "--api-key-env", "NO_SUCH_KEY"]);
    assert!(said.contains("NO_SUCH_KEY is not set"), "{said}");
    let model = [&there[..there.len()], &["--model", "other", "--api-key-env", "MODEL_KEY"]].concat();
    let found = json(folder, 1, &model);
    assert!(
        found.to_string().contains("other is not listed") && !found.to_string().contains("not-asked-for"),
        "{found:#}"
    );

    let few = [
        "--prefix-tokens",
        "256,100000",
        "--generate",
        "8",
        "--rounds",
        "4",
        "--warm",
        "2",
        "--parallel",
        "2",
        "--seed",
        "1",
    ];
    let found = json(
        folder,
        0,
        &[&["bench", "cache", "--sim", "--json", "--html", "report.html", "--require-proof"][..], &few].concat(),
    );
    assert_eq!(found["verdict"], "proven", "{found:#}");
    assert_eq!(found["findings"].as_array().map(Vec::len), Some(1), "longer than the context: {found:#}");
    assert_eq!((&found["server"]["caching"], &found["server"]["block"]), (&Json::from(true), &Json::from(16)));
    let ratio = found["findings"][0]["hits"]["ratio"].as_f64().expect("a ratio");
    assert!((0.5..0.67).contains(&ratio), "two of three requests can: {ratio}");
    assert!(found["throughput"][0]["dollars_per_million_written"].as_f64().expect("a price") > 0.0);
    let html = std::fs::read_to_string(folder.join("report.html")).expect("written");
    assert!(html.contains("<svg") && html.contains("Prefix caching: proven"), "{html}");
    for from_elsewhere in ["<script", "http://", "src=", "@import"] {
        assert!(!html.contains(from_elsewhere), "{from_elsewhere}");
    }
    // The same prompts again are not new.
    let again = [&["bench", "cache", "--sim", "--markdown", "--require-proof"][..], &few].concat();
    let said = stackwright(folder, &again);
    let said = (said.status.code(), text(&said.stdout));
    assert!(said.1.starts_with("## Prefix caching: "), "{}", said.1);
    let limited = json(
        folder,
        0,
        &[
            &["bench", "cache", "--sim", "--json", "--requests", "4"][..],
            &few[..8],
            &["--max-seconds", "60", "--workload", "qwen-3b-gpu"],
        ]
        .concat(),
    );
    assert!(limited["scene"]["cut_short"].as_str().expect("cut").contains("--requests 4"), "{limited:#}");
    let said = run(folder, 1, &["bench", "cache", "--sim", "--workload", "nobody"]);
    assert!(said.contains("no workload nobody") && said.contains("qwen-3b-gpu"), "{said}");

    let found = json(folder, 1, &["bench", "routing", "--sim", "--json", "--require-proof"]);
    assert_eq!(found["verdict"], "not_measurable", "one replica: {found:#}");
    let said = run(
        folder,
        1,
        &[
            "bench",
            "routing",
            "--sim",
            "--endpoint",
            &url,
            "--ca",
            "ca.pem",
            "--server-name",
            "inference.gpu-t4.internal",
        ],
    );
    assert!(said.contains("cannot be told apart"), "{said}");

    // A chain ends at its first broken link.
    let pools = run(folder, 0, &["pause", "--sim", "--auto-approve"]);
    assert!(pools.contains("node_pools.gpu") || pools.is_empty(), "{pools}");
    let said = run(folder, 1, &["status", "--sim"]);
    assert!(said.contains("Not looked at: ") && said.matches("FAILED").count() == 1, "{said}");
    let found = json(folder, 1, &["verify", "--sim", "--json"]);
    assert_eq!(found["verified"], false);
}

/// Three replicas behind a scheduler that knows prefixes keep them; three that take turns do not.
#[test]
fn routing_is_proven_where_it_is_and_only_there() {
    for (routing, verdict) in [("cache-aware", "proven"), ("round-robin", "not_proven")] {
        let folder = tempfile::tempdir().expect("tempdir");
        let folder = folder.path();
        let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/gpu-t4-production.toml");
        let stack = std::fs::read_to_string(stack).expect("a shipped stack");
        let stack = stack.replace("routing = \"cache-aware\"", &format!("routing = \"{routing}\""));
        std::fs::write(folder.join("stack.toml"), stack).expect("writable");
        run(folder, 0, &["apply", "--sim", "--auto-approve"]);
        let code = i32::from(routing == "round-robin");
        let sizes = ["--prefixes", "3", "--prefix-tokens", "256", "--visits", "4", "--seed", "5"];
        let limits = ["--requests", "100", "--max-seconds", "600", "--workload", "qwen-3b-gpu"];
        let words =
            [&["bench", "routing", "--sim", "--json", "--require-proof", "--html", "report.html"][..], &sizes, &limits];
        let found = json(folder, code, &words.concat());
        assert_eq!(found["verdict"], verdict, "{found:#}");
        assert_eq!((&found["prefixes"], &found["stayed"][1]), (&Json::from(9), &Json::from(27)), "{found:#}");
        let served =
            found["replicas"].as_array().expect("replicas").iter().map(|r| r["requests"].as_u64().expect("a number"));
        assert_eq!(served.sum::<u64>(), 36, "{found:#}");
        let page = std::fs::read_to_string(folder.join("report.html")).expect("written");
        assert!(page.contains("<svg") && page.contains("Requests by replica"), "{page}");
        let said = run(folder, 0, &["bench", "routing", "--sim", "--markdown", "--requests", "20"]);
        assert!(said.starts_with("## Routing by prefix: ") && said.contains("--requests 20"), "{said}");
        // Each replica shows its own cache.
        let said = run(folder, 0, &["verify", "--sim"]);
        assert_eq!(said.matches("ok      cache metrics of qwen-3b-gpu-svc-kserve-").count(), 3, "{said}");
    }
}
