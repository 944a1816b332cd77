//! The workflows of docs/ci/github.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::forge::{Forge, TOKEN};
use super::{End, Runner, STACK, document, is_equipped};

/// A repository, its runner and the service.
struct Repository {
    runner: Runner,
    forge: Forge,
    /// The pull request's commit, or the one that came to main.
    sha: String,
    /// The pull request is one of a fork's.
    is_fork: bool,
}

impl Repository {
    fn new() -> Self {
        let mut runner = Runner::new();
        let forge = Forge::open();
        let variables = &mut runner.variables;
        for (name, value) in [("GITHUB_API_URL", forge.url.as_str()), ("GITHUB_REPOSITORY", "o/r"), ("CI", "true")] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        runner.write("stack.toml", STACK);
        Repository { runner, forge, sha: "c0ffee".to_owned(), is_fork: false }
    }

    /// What GitHub would put in the place of an expression.
    fn expression(&self, text: &str, outputs: &BTreeMap<String, String>) -> String {
        let world = self.runner.path("world");
        match text {
            "vars.STACKWRIGHT_FLAGS" => format!("--sim --world {}", world.display()),
            "vars.GOOGLE_CLOUD_PROJECT" => "sim-project".to_owned(),
            "vars.STACKWRIGHT_SOURCE" => "https://example.com/stackwright".to_owned(),
            "vars.STACKWRIGHT_REVISION" => "0123456789abcdef".to_owned(),
            "vars.WORKLOAD_IDENTITY_PROVIDER" | "vars.PLAN_SERVICE_ACCOUNT" | "vars.APPLY_SERVICE_ACCOUNT" => {
                "somebody".to_owned()
            }
            // A secret that was never set is empty, and so are all of a fork's.
            "secrets.HF_TOKEN" | "secrets.STACKWRIGHT_KEY" => String::new(),
            "secrets.GITHUB_TOKEN" => TOKEN.to_owned(),
            "github.event.pull_request.number" => "5".to_owned(),
            _ => match text.strip_prefix("steps.plan.outputs.") {
                Some(name) => outputs.get(name).cloned().unwrap_or_default(),
                None => panic!("an expression that nobody knows: {text}"),
            },
        }
    }

    fn fill(&self, text: &str, outputs: &BTreeMap<String, String>) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let (name, behind) = after.split_once("}}").expect("a whole expression");
            filled.push_str(before);
            filled.push_str(&self.expression(name.trim(), outputs));
            rest = behind;
        }
        filled + rest
    }

    fn is_wanted(&self, condition: Option<&Json>, outputs: &BTreeMap<String, String>) -> bool {
        match condition.map(|condition| condition.as_str().expect("text")) {
            None => true,
            Some("github.event.pull_request.head.repo.full_name == github.repository") => !self.is_fork,
            Some("steps.plan.outputs.hash != ''") => outputs.contains_key("hash"),
            Some(other) => panic!("a condition that nobody knows: {other}"),
        }
    }

    /// Runs the one job of a workflow, step by step, until one fails.
    fn run(&self, workflow: &str) -> End {
        let workflow = document(&format!("github/{workflow}.yml"));
        // Without this the shell has no pipefail.
        assert_eq!(workflow["defaults"]["run"]["shell"], "bash");
        let (_, job) = workflow["jobs"].as_object().expect("jobs").iter().next().expect("a job");
        let mut told = String::new();
        let mut outputs = BTreeMap::new();
        let (summary, output) = (self.runner.path("summary.md"), self.runner.path("outputs"));
        for step in job["steps"].as_array().expect("steps") {
            if !self.is_wanted(step.get("if"), &outputs) {
                continue;
            }
            if let Some(action) = step["uses"].as_str() {
                self.uses(action, &step["with"], &outputs);
                continue;
            }
            let mut env = BTreeMap::from([
                ("GITHUB_SHA".to_owned(), self.sha.clone()),
                ("GITHUB_STEP_SUMMARY".to_owned(), summary.display().to_string()),
                ("GITHUB_OUTPUT".to_owned(), output.display().to_string()),
            ]);
            for held in [&workflow["env"], &step["env"]] {
                for (name, value) in held.as_object().into_iter().flatten() {
                    env.insert(name.clone(), self.fill(value.as_str().expect("text"), &outputs));
                }
            }
            let text = step["run"].as_str().expect("a script");
            // Whatever comes from outside reaches a script as a variable, or it could be taken for a part of it.
            assert!(!text.contains("${{"), "{text}");
            std::fs::write(&output, "").expect("writable");
            let (code, said) = self.runner.script(&["bash", "--noprofile", "--norc", "-eo", "pipefail"], text, &env);
            told.push_str(&said);
            for line in self.runner.read("outputs").lines() {
                let (name, value) = line.split_once('=').expect("name=value");
                outputs.insert(name.to_owned(), value.to_owned());
            }
            if code != 0 {
                return End { code, told };
            }
        }
        End { code: 0, told }
    }

    /// What the service itself does.
    fn uses(&self, action: &str, with: &Json, outputs: &BTreeMap<String, String>) {
        match action.split('@').next().expect("a name") {
            "actions/checkout" => {}
            "google-github-actions/auth" => {
                for name in ["workload_identity_provider", "service_account"] {
                    assert_eq!(self.fill(with[name].as_str().expect("text"), outputs), "somebody");
                }
            }
            "actions/upload-artifact" => {
                let name = self.fill(with["name"].as_str().expect("text"), outputs);
                let path = with["path"].as_str().expect("text");
                let bytes = std::fs::read(self.runner.work().join(path)).expect("a plan");
                std::fs::remove_file(self.runner.work().join(path)).expect("removable");
                self.forge.kept().plans.push((name, self.sha.clone(), bytes));
            }
            other => panic!("an action that nobody knows: {other}"),
        }
    }

    /// The pull request of the reviewed commit is merged.
    fn merge(&mut self, sha: &str) {
        let reviewed = std::mem::replace(&mut self.sha, sha.to_owned());
        self.forge.kept().merged = Some((sha.to_owned(), 5, reviewed));
    }
}

#[test]
fn a_pull_request_is_planned_reviewed_applied_and_taken_away() {
    if !is_equipped() {
        return;
    }
    let mut repository = Repository::new();
    // Ours is not among the first hundred, and somebody quotes it.
    let chatter = (0..130).map(|at| (format!("<!-- stackwright --> thought {at}"), false));
    repository.forge.kept().comments.extend(chatter);
    repository.run("stackwright-plan").end_well();
    let first = repository.forge.ours();
    assert!(first.len() == 1 && first[0].contains("cluster"), "{first:?}");
    // A second push: the same comment, another plan.
    repository.runner.write("stack.toml", &STACK.replace("nodes = 1", "nodes = 2"));
    repository.sha = "decade".to_owned();
    repository.run("stackwright-plan").end_well();
    let second = repository.forge.ours();
    assert!(second.len() == 1 && second[0] != first[0], "{second:?}");
    assert!(repository.runner.read("installed").contains("--rev 0123456789abcdef"));

    // The reviewed plan is carried out, and then nothing is left to do.
    repository.merge("facade");
    let told = repository.run("stackwright-apply").end_well();
    assert!(told.contains("Apply complete!"), "{told}");
    let summary = repository.runner.read("summary.md");
    assert!(summary.contains("Apply complete!"), "{summary}");
    repository.run("stackwright-plan").end_well();
    assert!(repository.forge.ours()[0].contains(": no changes"), "{:?}", repository.forge.ours());

    // The same plan once more is refused: it was made for another state.
    repository.forge.kept().comments.retain(|(_, ours)| !*ours);
    repository.forge.kept().comments.push((second[0].clone(), true));
    let refused = repository.run("stackwright-apply");
    assert!(refused.code != 0 && refused.told.contains("plan"), "{refused:?}");

    // Nothing has expired; then the evening comes.
    let told = repository.run("stackwright-reap").end_well();
    assert!(!told.contains("Destroy complete"), "{told}");
    let told = repository.run("stackwright-destroy").end_well();
    assert!(told.contains("0 residual resources"), "{told}");
}

#[test]
fn a_plan_that_nobody_reviewed_is_not_applied() {
    if !is_equipped() {
        return;
    }
    let mut repository = Repository::new();
    repository.run("stackwright-apply").fails_with("no pull request brought c0ffee");
    repository.run("stackwright-plan").end_well();
    repository.merge("facade");
    // Of another commit than the one that was reviewed.
    let kept = repository.forge.kept().merged.take().expect("merged");
    repository.forge.kept().merged = Some((kept.0.clone(), kept.1, "badcab".to_owned()));
    repository.run("stackwright-apply").fails_with("is not kept any more");
    // Other bytes under the same name.
    repository.forge.kept().merged = Some(kept);
    let plan = std::mem::take(&mut repository.forge.kept().plans[0].2);
    repository.forge.kept().plans[0].2 = [&plan[..], b" "].concat();
    repository.run("stackwright-apply").fails_with("is not the plan that was reviewed");
    // No comment at all.
    repository.forge.kept().comments.clear();
    repository.run("stackwright-apply").fails_with("has no comment with a plan");
}

#[test]
fn a_broken_stack_fails_the_check_and_a_fork_gets_a_summary() {
    if !is_equipped() {
        return;
    }
    let mut repository = Repository::new();
    repository.runner.write("stack.toml", &STACK.replace("europe-west4-a", "atlantis"));
    repository.run("stackwright-plan").fails_with("atlantis");
    assert!(repository.forge.ours().is_empty());
    repository.runner.write("stack.toml", STACK);
    repository.is_fork = true;
    repository.run("stackwright-plan").end_well();
    assert!(repository.forge.ours().is_empty());
    assert!(repository.runner.read("summary.md").contains("cluster"));
}
