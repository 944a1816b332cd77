//! Preflight on Google Cloud: services, rights, offers and quotas, all asked for at once and nothing changed. What
//! changes something, and shows capacity, is `trials`.
//!
//! What a check needs is summed in `needs`; one file per topic asks. A call that fails is `unknown`, never fine.

mod needs;
mod offers;
mod quotas;
mod rights;
pub mod trials;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::audit::removal;
use super::client::GoogleClient;
use crate::address::Address;
use crate::env::clock::Timestamp;
use crate::platform::preflight::{Begun, Check, Preflight, Topic, Trial, Verdict, Wanted};
use crate::resource::driver::Ownership;
use crate::resource::error::{ErrorClass, ProviderError};

/// Looks at a project before a cluster is made in it.
pub struct GooglePreflight {
    client: Arc<GoogleClient>,
}

impl GooglePreflight {
    /// A preflight over this client.
    pub fn new(client: Arc<GoogleClient>) -> Self {
        GooglePreflight { client }
    }
}

/// Checks that are on their way.
type Looks<'a> = Vec<Pin<Box<dyn Future<Output = Vec<Check>> + Send + 'a>>>;

#[async_trait]
impl Preflight for GooglePreflight {
    async fn check(&self, wanted: &[Wanted]) -> Vec<Check> {
        let needs = needs::of(wanted);
        if needs.projects.is_empty() {
            return Vec::new();
        }
        // Without a login, every other answer would be the same complaint.
        if let Err(error) = self.client.token().await {
            let found = Check { verdict: Verdict::Missing, ..unclear(Topic::Credentials, "login".to_owned(), &error) };
            return vec![found];
        }
        let client = &*self.client;
        let mut looks: Looks<'_> = Vec::new();
        for project in &needs.projects {
            for service in rights::SERVICES {
                looks.push(Box::pin(rights::service(client, project, service)));
            }
            looks.push(Box::pin(rights::permissions(client, project)));
        }
        for ((project, version), by) in &needs.versions {
            looks.push(Box::pin(offers::version(client, project, version, by)));
        }
        for ((project, sort), by) in &needs.sorts {
            looks.push(Box::pin(offers::sort(client, project, sort, by)));
        }
        looks.extend(quotas::looks(client, &needs));
        let mut checks = join_all(looks).await.into_iter().flatten().collect::<Vec<_>>();
        for machine in &needs.uncounted {
            checks.push(Check {
                topic: Topic::Quota,
                verdict: Verdict::Unknown,
                subject: format!("quota of {machine}"),
                found: "which quota it counts towards is not known here".to_owned(),
                mend: None,
                wanted_by: Vec::new(),
            });
        }
        checks.sort();
        checks
    }

    fn trials(&self, wanted: &[Wanted], owner: &Ownership, now: Timestamp) -> Vec<Trial> {
        trials::of(wanted, owner, now)
    }

    async fn begin(&self, trial: &Trial) -> Result<Begun, ProviderError> {
        trials::begin(&self.client, trial).await
    }

    async fn is_over(&self, operation: &str) -> Result<bool, ProviderError> {
        removal::is_over(&self.client, operation).await
    }

    async fn end(&self, trial: &Trial) -> Result<Option<String>, ProviderError> {
        trials::end(&self.client, trial).await
    }
}

fn fine(topic: Topic, subject: String, found: String) -> Check {
    Check { topic, verdict: Verdict::Fine, subject, found, mend: None, wanted_by: Vec::new() }
}

/// A check whose answer did not come.
fn unclear(topic: Topic, subject: String, error: &ProviderError) -> Check {
    Check {
        topic,
        verdict: Verdict::Unknown,
        subject,
        found: error.message.clone(),
        mend: error.hint.clone(),
        wanted_by: Vec::new(),
    }
}

/// A service that only a check asks, and a role that lets it answer.
struct Asked {
    service: &'static str,
    role: &'static str,
}

/// As [`unclear`], with the way to an answer.
fn unasked(topic: Topic, subject: String, error: &ProviderError, asked: &Asked, project: &str) -> Check {
    let mut check = unclear(topic, subject, error);
    match error.class {
        ErrorClass::Disabled => check.mend = Some(enable(asked.service, project)),
        ErrorClass::Denied => check.mend = Some(grant(asked.role, project)),
        _ => {}
    }
    check
}

fn grant(role: &str, project: &str) -> String {
    format!("gcloud projects add-iam-policy-binding {project} --member user:YOU --role {role}")
}

fn enable(service: &str, project: &str) -> String {
    format!("gcloud services enable {service} --project {project}")
}

fn names(addresses: &BTreeSet<Address>) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}
