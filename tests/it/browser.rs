//! The report in a real browser: Chromium without a window, when `STACKWRIGHT_CHROMIUM` names it, spoken to over its
//! debugging pipe. On a wide and a narrow screen: nothing complains, nothing runs out at the side, search and graph work,
//! and without its script the page still tells everything. `STACKWRIGHT_SCREENS` names a folder for pictures.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value as Json, json};
use stackwright::address::Address;
use stackwright::plan::file;
use stackwright::ui::report::{Report, page};

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

struct Browser {
    child: Child,
    to: File,
    from: Receiver<Json>,
    number: u64,
    session: String,
    /// What the page complained about.
    complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None` where there is no browser.
    fn open() -> Option<Self> {
        let Some(program) = std::env::var_os("STACKWRIGHT_CHROMIUM") else {
            println!("skipped: STACKWRIGHT_CHROMIUM names no browser");
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder");
        let pipes = ["to", "from"].map(|name| profile.path().join(name));
        let made = Command::new("mkfifo").args(&pipes).status().expect("mkfifo");
        assert!(made.success());
        // The browser reads commands from its third descriptor and writes answers to its fourth.
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\""])
            .arg(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"])
            .args(["--disable-dev-shm-usage", "--force-color-profile=srgb"])
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .envs([("TO", &pipes[0]), ("FROM", &pipes[1])])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        let to = OpenOptions::new().write(true).open(&pipes[0]).expect("a pipe");
        let answers = BufReader::new(File::open(&pipes[1]).expect("a pipe"));
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let (session, complaints) = (String::new(), Vec::new());
        let mut browser = Browser { child, to, from, number: 0, session, complaints, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session =
            browser.call("Target.attachToTarget", attach)["sessionId"].as_str().expect("a session").into();
        for domain in ["Page", "Runtime", "Log", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    fn call(&mut self, method: &str, parameters: Json) -> Json {
        self.number += 1;
        let number = self.number;
        let mut command = json!({ "id": number, "method": method, "params": parameters });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        self.to.write_all(format!("{command}\0").as_bytes()).expect("the browser listens");
        loop {
            let message = self.from.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == number {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    /// Errors of the script, refusals by the policy, failed loads.
    fn note(&mut self, message: &Json) {
        let parameters = &message["params"];
        let complaint = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => &parameters["exceptionDetails"],
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => &parameters["entry"]["text"],
            Some("Runtime.consoleAPICalled") if parameters["type"] == "error" => &parameters["args"],
            _ => return,
        };
        self.complaints.push(complaint.to_string());
    }

    /// Shows a page on a screen of that size.
    fn show(&mut self, path: &Path, (width, height): (u32, u32), dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", screen);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media);
        self.call("Page.navigate", json!({ "url": format!("file://{}", path.display()) }));
        let begun = Instant::now();
        while self.ask("document.readyState") != "complete"
            || self.ask("document.querySelector('main') !== null") != true
        {
            assert!(begun.elapsed() < PATIENCE, "{} does not load", path.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What an expression is in the page.
    fn ask(&mut self, expression: &str) -> Json {
        let answer = self
            .call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if key.chars().count() == 1 && kind == "keyDown" { key } else { "" };
            let code = match key {
                "Tab" => 9,
                "Enter" => 13,
                _ => 0,
            };
            let text = if key == "Enter" && kind == "keyDown" { "\r" } else { text };
            let event = json!({ "type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// A picture of what is to be seen, or of the whole page.
    fn picture(&mut self, name: &str, whole: bool) {
        let Some(folder) = std::env::var_os("STACKWRIGHT_SCREENS").map(PathBuf::from) else { return };
        std::fs::create_dir_all(&folder).expect("a folder");
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": whole }));
        let data = answer["data"].as_str().expect("a picture");
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        std::fs::write(folder.join(format!("{name}.png")), bytes).expect("writable");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What holds of every page.
const SOUND: &str = r##"(() => {
    const wrong = [];
    const all = (selector) => Array.from(document.querySelectorAll(selector));
    if (document.documentElement.scrollWidth > innerWidth) {
        const wide = all("body *").filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".graph"));
        wrong.push(`wider than the screen: ${wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(" | ")}`);
    }
    const ids = all("[id]").map((e) => e.id);
    if (new Set(ids).size !== ids.length) wrong.push("an id is there twice");
    for (const link of all("a[href^='#']")) {
        if (!document.getElementById(link.getAttribute("href").slice(1))) wrong.push(`leads nowhere: ${link.outerHTML.slice(0, 120)}`);
    }
    for (const control of all("input, select")) if (!control.labels.length) wrong.push(`no label: ${control.outerHTML}`);
    for (const mark of ["header", "main", "footer", "nav"]) if (all(mark).length !== 1) wrong.push(`${all(mark).length} of ${mark}`);
    if (all("h1").length !== 1) wrong.push("not one h1");
    let level = 1;
    for (const heading of all("h1, h2, h3")) {
        const own = Number(heading.tagName[1]);
        if (own > level + 1) wrong.push(`a level is left out: ${heading.textContent}`);
        level = own;
    }
    for (const section of all("section")) if (!document.getElementById(section.getAttribute("aria-labelledby"))) wrong.push("a section without a name");
    // Text has to be told from its ground: 4.5 to 1.
    const light = (colour) => {
        const [r, g, b] = colour.match(/[\d.]+/g).map(Number).map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (e) => {
        for (let at = e; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (!/rgba\(.*, 0\)|transparent/.test(colour)) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const seen = new Set();
    for (const e of all("h1, h2, h3, p, dt, dd, dd span, li, a, td, th, .note, .took, .symbol, .badge, ins, del, summary")) {
        if (e.closest("svg") || !e.checkVisibility()) continue;
        const pair = [getComputedStyle(e).color, ground(e)], key = pair.join();
        if (seen.has(key)) continue;
        seen.add(key);
        const [a, b] = pair.map(light).sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) wrong.push(`hard to read: ${key} in ${e.outerHTML.slice(0, 80)}`);
    }
    return wrong;
})()"##;

fn run(folder: &Path, words: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(words.split(' '))
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    (output.status.success(), text)
}

/// Reports of real runs: a plan, an apply, one that fails, a destroy.
fn reports(folder: &Path) {
    let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks");
    std::fs::copy(stacks.join("gpu-t4.toml"), folder.join("gpu-t4.toml")).expect("a shipped stack");
    let ok = |words: &str| {
        let (ok, text) = run(folder, words);
        assert!(ok, "{words}: {text}");
    };
    ok("plan gpu-t4.toml --sim --world w --html plan.html --out saved.plan");
    ok("apply gpu-t4.toml --sim --world w --auto-approve --report apply.html");
    ok("destroy gpu-t4.toml --sim --world w --auto-approve --report destroy.html");
    let faults = json!({ "faults": [{ "kind": "fail", "operation": "CREATE_NODE_POOL", "message": "Google Compute Engine: <b>no</b> capacity" }] });
    std::fs::create_dir_all(folder.join("bad")).expect("a folder");
    std::fs::write(folder.join("bad/faults.json"), faults.to_string()).expect("writable");
    let (ok, text) = run(folder, "apply gpu-t4.toml --sim --world bad --auto-approve --report failed.html");
    assert!(!ok, "{text}");
}

/// A plan of five thousand resources, made of one that a real plan has.
fn large(folder: &Path) -> PathBuf {
    let bytes = std::fs::read(folder.join("saved.plan")).expect("saved");
    let mut plan = file::decode(&bytes).expect("a plan");
    let objects = plan.changes.iter().filter(|change| change.kind == "k8s.object").cloned().collect::<Vec<_>>();
    plan.changes = (0..5000_usize)
        .map(|at| {
            let mut change = objects[at % objects.len()].clone();
            change.address = Address::new(format!("charts.c{:02}/ConfigMap/demo/object-{at:04}", at % 30));
            change
        })
        .collect();
    plan.changes.sort_by(|a, b| a.address.cmp(&b.address));
    plan.edges.clear();
    let text = page(&Report { plan: &plan, made: "now".to_owned(), simulated: true, parallelism: 16, run: None });
    assert!(text.len() < 5_000_000, "{} bytes", text.len());
    let path = folder.join("large.html");
    std::fs::write(&path, text).expect("writable");
    path
}

#[test]
fn the_report_works_in_a_browser() {
    let Some(mut browser) = Browser::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    reports(folder.path());
    let pages = ["plan", "apply", "failed", "destroy"];
    for (size, name) in [((1280, 900), "wide"), ((390, 844), "narrow")] {
        for page in pages {
            for dark in [false, true] {
                browser.show(&folder.path().join(format!("{page}.html")), size, dark);
                // What is folded away has to be sound as well.
                browser.picture(&format!("{page}-{name}{}", if dark { "-dark" } else { "" }), true);
                assert_eq!(browser.ask(SOUND), json!([]), "{page}, {name}, dark: {dark}");
                browser.ask("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
                assert_eq!(browser.ask(SOUND), json!([]), "{page}, {name}, dark: {dark}, open");
            }
        }
    }
    let sees = |browser: &mut Browser, text: &str| {
        let found = browser.ask(&format!("document.body.innerText.includes({})", json!(text)));
        assert_eq!(found, true, "{text}");
    };
    browser.show(&folder.path().join("failed.html"), (1280, 900), false);
    sees(&mut browser, "What went wrong");
    sees(&mut browser, "<b>no</b> capacity");
    browser.show(&folder.path().join("apply.html"), (1280, 900), false);
    sees(&mut browser, "Applied, and everything is ready.");
    searching(&mut browser, &folder.path().join("plan.html"));
    exploring(&mut browser, &folder.path().join("plan.html"));
    let path = large(folder.path());
    let begun = Instant::now();
    browser.show(&path, (1280, 900), false);
    let counted = browser.ask(&searched("object-0042")).as_str().map(str::to_owned);
    assert_eq!(counted.as_deref(), Some("1 of 5000 changes"));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // Without its script, everything is there all the same, and nothing that would do nothing.
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.show(&folder.path().join("plan.html"), (1280, 900), false);
    let unseen =
        "Array.from(document.querySelectorAll('button, input, select')).filter((e) => e.checkVisibility()).length";
    assert_eq!(browser.ask(unseen), 0);
    browser.ask("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
    for text in ["nvidia-tesla-t4", "Critical path", "ClusterPolicy"] {
        let found =
            browser.ask(&format!("document.body.innerText.toLowerCase().includes({})", json!(text.to_lowercase())));
        assert_eq!(found, true, "{text}");
    }
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// Types into the search, waits, and says how many are shown.
fn searched(text: &str) -> String {
    format!(
        "(async () => {{ const field = document.querySelector('#search-text'); field.value = {}; \
         field.dispatchEvent(new Event('input')); await new Promise((done) => setTimeout(done, 400)); \
         const shown = Array.from(document.querySelectorAll('.change')).filter((e) => e.checkVisibility()).length; \
         const said = document.querySelector('#found').textContent; \
         return said.startsWith(String(shown) + ' ') || shown === 0 ? said : `${{said}}, but ${{shown}} are shown`; }})()",
        json!(text)
    )
}

fn searching(browser: &mut Browser, plan: &Path) {
    browser.show(plan, (1280, 900), false);
    let total = browser.ask("document.querySelectorAll('.change').length").as_u64().expect("a number");
    // Searched whole, needs and values included: as many as hold the word anywhere.
    let holding = "Array.from(document.querySelectorAll('.change')).filter((e) => e.textContent.includes('ClusterPolicy')).length";
    let holding = browser.ask(holding).as_u64().expect("a number");
    assert!(holding > 0 && holding < total, "{holding}");
    assert_eq!(browser.ask(&searched("ClusterPolicy")), format!("{holding} of {total} changes"));
    assert_eq!(browser.ask(&searched("no such thing")), format!("0 of {total} changes"));
    browser.ask("document.querySelector('#search button[type=reset]').click()");
    let by_component = "(() => { const choice = document.querySelector('#search-component'); choice.value = 'cluster'; \
        choice.dispatchEvent(new Event('change')); return document.querySelector('#found').textContent; })()";
    assert_eq!(browser.ask(by_component), format!("1 of {total} changes"));
}

fn exploring(browser: &mut Browser, plan: &Path) {
    browser.show(plan, (1280, 900), false);
    // By keyboard: the first stop leads past the header; a box of the graph is chosen by Enter.
    browser.press("Tab");
    assert_eq!(browser.ask("document.activeElement.className"), "skip");
    browser.ask("document.querySelector(\"#graph-components a[data-component='cluster']\").focus()");
    browser.press("Enter");
    let said = browser.ask("document.querySelector('#graph-components-said').textContent");
    let said = said.as_str().expect("text");
    assert!(
        said.starts_with("cluster, create") && said.contains("Needed by") && said.contains("node_pools.gpu"),
        "{said}"
    );
    assert_eq!(browser.ask("document.querySelectorAll('#graph-components .selected').length"), 1);
    let width = "Number(document.querySelector('#graph-components svg').getAttribute('width'))";
    let before = browser.ask(width).as_f64().expect("a number");
    browser.press("+");
    assert!(browser.ask(width).as_f64().expect("a number") > before);
    browser.press("0");
    browser.ask("document.querySelector('#graph').scrollIntoView()");
    browser.picture("graph-chosen", false);
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().expect("a tree");
    let roles = |role: &str| nodes.iter().filter(|node| node["role"]["value"] == role).collect::<Vec<_>>();
    for landmark in ["main", "navigation", "banner", "contentinfo", "search"] {
        assert_eq!(roles(landmark).len(), 1, "{landmark}");
    }
    for role in ["button", "link", "textbox", "combobox", "searchbox"] {
        for node in roles(role) {
            assert_ne!(node["name"]["value"].as_str().unwrap_or_default(), "", "{node}");
        }
    }
}
