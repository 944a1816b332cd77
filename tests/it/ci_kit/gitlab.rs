//! The jobs of docs/ci/gitlab.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::forge::{Forge, TOKEN};
use super::{End, Runner, STACK, document, is_equipped};

struct Project {
    runner: Runner,
    forge: Forge,
    sha: String,
}

impl Project {
    fn new() -> Self {
        let mut runner = Runner::new();
        let forge = Forge::open();
        let world = runner.path("world").display().to_string();
        let work = runner.work().display().to_string();
        for (name, value) in [
            ("CI", "true"),
            ("CI_API_V4_URL", &forge.url),
            ("CI_PROJECT_ID", "7"),
            ("CI_PROJECT_DIR", &work),
            ("CI_MERGE_REQUEST_IID", "5"),
            ("STACKWRIGHT_API_TOKEN", TOKEN),
            ("STACKWRIGHT_SOURCE", "https://example.com/stackwright"),
            ("STACKWRIGHT_REVISION", "0123456789abcdef"),
            ("STACKWRIGHT_FLAGS", &format!("--sim --world {world}")),
            ("GOOGLE_CLOUD_PROJECT", "sim-project"),
            ("GOOGLE_ID_TOKEN", "an.id.token"),
            ("WORKLOAD_IDENTITY_PROVIDER", "projects/1/locations/global/workloadIdentityPools/ci/providers/gitlab"),
            ("PLAN_SERVICE_ACCOUNT", "plan@sim-project.iam.gserviceaccount.com"),
            ("APPLY_SERVICE_ACCOUNT", "apply@sim-project.iam.gserviceaccount.com"),
        ] {
            runner.variables.insert(name.to_owned(), value.to_owned());
        }
        runner.write("stack.toml", STACK);
        Project { runner, forge, sha: "c0ffee".to_owned() }
    }

    /// Runs a job: all of its lines in one shell, as GitLab's runner does.
    fn run(&self, name: &str) -> End {
        let kit = document("gitlab/stackwright.gitlab-ci.yml");
        let job = &kit[name];
        assert_eq!(job["extends"], ".stackwright");
        let lines = |held: &Json| {
            held.as_array().into_iter().flatten().map(|l| l.as_str().expect("text").to_owned()).collect::<Vec<_>>()
        };
        let text = [lines(&kit[".stackwright"]["before_script"]), lines(&job["script"])].concat().join("\n");
        let mut env = BTreeMap::from([("CI_COMMIT_SHA".to_owned(), self.sha.clone())]);
        for held in [&kit["variables"], &job["variables"]] {
            for (name, value) in held.as_object().into_iter().flatten() {
                let value = value.as_str().expect("text");
                // Variables of variables are GitLab's to fill in; those of the project win over the file's.
                let value = value.strip_prefix('$').map_or(value, |name| self.runner.variables[name].as_str());
                if !self.runner.variables.contains_key(name) {
                    env.insert(name.clone(), value.to_owned());
                }
            }
        }
        let (code, told) = self.runner.script(&["bash", "-eo", "pipefail"], &text, &env);
        if name == "plan" {
            for path in job["artifacts"]["paths"].as_array().into_iter().flatten() {
                let path = self.runner.work().join(path.as_str().expect("text"));
                if let Ok(bytes) = std::fs::read(&path) {
                    std::fs::remove_file(&path).expect("removable");
                    if path.ends_with("stack.plan") {
                        self.forge.kept().plans.push(("plan".to_owned(), self.sha.clone(), bytes));
                    }
                }
            }
        }
        End { code, told }
    }
}

#[test]
fn a_merge_request_is_planned_applied_and_taken_away() {
    if !is_equipped() {
        return;
    }
    let mut project = Project::new();
    project.forge.kept().comments.extend((0..130).map(|at| (format!("thought {at}"), false)));
    project.run("plan").end_well();
    project.runner.write("stack.toml", &STACK.replace("nodes = 1", "nodes = 2"));
    project.sha = "decade".to_owned();
    project.run("plan").end_well();
    assert_eq!(project.forge.ours().len(), 1);
    // The identity is a reference to the job's token, not the token.
    let credentials = project.runner.read("work/.credentials.json");
    assert!(credentials.contains(".id-token") && !credentials.contains("an.id.token"), "{credentials}");

    let reviewed = std::mem::replace(&mut project.sha, "facade".to_owned());
    project.run("apply").fails_with("no merge request brought facade");
    project.forge.kept().merged = Some(("facade".to_owned(), 5, "badcab".to_owned()));
    project.run("apply").fails_with("there is no pipeline of badcab");
    project.forge.kept().merged = Some(("facade".to_owned(), 5, reviewed));
    let told = project.run("apply").end_well();
    assert!(told.contains("Apply complete!"), "{told}");
    let again = project.run("apply");
    assert!(again.code != 0, "{again:?}");
    project.run("reap").end_well();
    let told = project.run("destroy").end_well();
    assert!(told.contains("0 residual resources"), "{told}");
}
