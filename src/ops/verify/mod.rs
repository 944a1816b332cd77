//! `verify`: every link from the cluster to the last token, each with the fact that shows it; and the shorter chain of
//! `status`. Reads only: what is sent to webhooks is a rehearsal that nothing keeps.

mod links;
mod server;

use std::future::Future;

use crate::measure::checks::Check;
use crate::ops::platforms::Platforms;
use crate::ops::serving::Served;
use crate::ops::sight::Sight;
use crate::platform::models::Endpoint;
use crate::resource::error::ProviderError;

/// Who hears of each check when it is over.
pub type Tell<'a> = &'a (dyn Fn(&Check) + Send + Sync);

/// What a check found, if nothing was wrong.
pub(super) enum Fact {
    /// As it should be.
    Is(String),
    /// There is nothing to look at.
    Absent(String),
}

/// Checks one after the other.
pub(super) struct Course<'a> {
    platforms: &'a Platforms,
    tell: Tell<'a>,
    checks: Vec<Check>,
    /// Nothing is looked at after what failed.
    is_chain: bool,
    /// What failed first.
    broken: Option<String>,
}

impl<'a> Course<'a> {
    fn new(platforms: &'a Platforms, tell: Tell<'a>, is_chain: bool) -> Self {
        Course { platforms, tell, checks: Vec::new(), is_chain, broken: None }
    }

    fn note(&mut self, check: Check) {
        (self.tell)(&check);
        self.checks.push(check);
    }

    /// Does a check, unless a chain is broken already; whether it passed.
    async fn take(&mut self, of: &str, name: &str, look: impl Future<Output = Result<Fact, ProviderError>>) -> bool {
        if let Some(broken) = self.broken.as_ref().filter(|_| self.is_chain) {
            let why = format!("not looked at: {broken} comes first");
            self.note(Check::skipped(of, name, why));
            return false;
        }
        let began = self.platforms.clock.now();
        let mut check = match look.await {
            Ok(Fact::Is(fact)) => Check::passed(of, name, fact),
            Ok(Fact::Absent(why)) => Check::skipped(of, name, why),
            Err(error) => {
                self.broken.get_or_insert_with(|| name.to_owned());
                Check::failed(of, name, error.message, error.hint)
            }
        };
        check.millis = u64::try_from(self.platforms.clock.now().since(began).as_millis()).unwrap_or(u64::MAX);
        let passed = check.outcome != crate::measure::checks::Outcome::Failed;
        self.note(check);
        passed
    }

    /// Does not look, because something that it needs failed.
    fn pass_over(&mut self, of: &str, names: &[&str], failed: &str) {
        for name in names {
            self.note(Check::skipped(of, name, format!("not looked at: {failed} comes first")));
        }
    }
}

/// The chain of `status`: from the cluster to a completion of each model, up to the first link that is broken.
pub async fn chain(sight: &Sight<'_>) -> Vec<Check> {
    let mut course = Course::new(sight.platforms, &|_| {}, true);
    links::cluster(&mut course, sight).await;
    links::gateways(&mut course, sight).await;
    for proof in &sight.plan.proofs {
        links::workload(&mut course, sight, proof).await;
        if let Ok(served) = Served::of_stack(sight, proof).await {
            server::answers(&mut course, &served).await;
        }
    }
    course.checks
}

/// Everything about a stack that is there.
pub async fn stack(sight: &Sight<'_>, tell: Tell<'_>) -> Vec<Check> {
    let mut course = Course::new(sight.platforms, tell, false);
    links::cluster(&mut course, sight).await;
    links::webhooks(&mut course, sight).await;
    links::gateways(&mut course, sight).await;
    for proof in &sight.plan.proofs {
        links::workload(&mut course, sight, proof).await;
        match Served::of_stack(sight, proof).await {
            Ok(served) => {
                if server::answers(&mut course, &served).await {
                    server::speaks(&mut course, &served).await;
                } else {
                    course.pass_over(&served.of, &server::SPOKEN, "an answer");
                }
                server::counts(&mut course, &served).await;
            }
            Err(error) => {
                course.note(Check::failed(&proof.component, "address", error.message, error.hint));
            }
        }
    }
    course.checks
}

/// Everything that can be seen of a server from outside.
pub async fn server(platforms: &Platforms, endpoint: Endpoint, model: Option<String>, tell: Tell<'_>) -> Vec<Check> {
    let mut course = Course::new(platforms, tell, false);
    let of = endpoint.url.clone();
    let reached = server::reached(&mut course, &of, &endpoint).await;
    if !reached {
        course.pass_over(&of, &server::ANSWERED[1..], "/health");
        course.pass_over(&of, &server::SPOKEN, "/health");
        course.pass_over(&of, &["cache metrics"], "/health");
        return course.checks;
    }
    match Served::behind(platforms, endpoint, model).await {
        Ok(served) => {
            if server::answers_as(&mut course, &served).await {
                server::speaks(&mut course, &served).await;
            } else {
                course.pass_over(&served.of, &server::SPOKEN, "a completion");
            }
            server::counts(&mut course, &served).await;
        }
        Err(error) => {
            course.note(Check::failed(&of, "/v1/models", error.message, error.hint));
            course.pass_over(&of, &server::SPOKEN, "/v1/models");
        }
    }
    course.checks
}
