//! Which login a run has, and what is wrong with it: application default credentials, read before they are used.
//!
//! Google's library signs in (users, keys of service accounts, workload identity federation, impersonation, the metadata
//! server); this file names what it found, and turns its failures into what to type next. Never holds a secret.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::error::LOGIN;
use crate::env::disk::Disk;
use crate::env::vars::Vars;
use crate::resource::error::{ErrorClass, ProviderError};

/// Names the file of the login.
const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Names the project that calls are counted towards.
const QUOTA_PROJECT: &str = "GOOGLE_CLOUD_QUOTA_PROJECT";

/// What kind of login it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody who logged in with gcloud.
    User,
    /// A key of a service account, with its name.
    Key(String),
    /// Workload identity federation: CI, another cloud.
    Federation,
    /// On behalf of a service account, with its name.
    Impersonation(String),
    /// The metadata server of the machine: there is no file.
    Metadata,
}

impl Kind {
    fn words(&self) -> String {
        match self {
            Kind::User => "the user's login".to_owned(),
            Kind::Key(account) => format!("the key of {account}"),
            Kind::Federation => "workload identity federation".to_owned(),
            Kind::Impersonation(account) => format!("the impersonation of {account}"),
            Kind::Metadata => "the metadata server".to_owned(),
        }
    }
}

/// The login of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its kind.
    pub kind: Kind,
    /// The project that calls are counted towards, where one is named.
    pub quota_project: Option<String>,
    /// Where it was read.
    file: Option<PathBuf>,
}

fn unauthenticated(text: impl Into<String>, hint: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorClass::Unauthenticated, text).hint(hint)
}

impl Login {
    /// Looks where Google's library looks.
    ///
    /// # Errors
    /// What is wrong with the file, with what to type.
    pub fn find(vars: &dyn Vars, disk: &dyn Disk) -> Result<Self, ProviderError> {
        let quota_project = vars.get(QUOTA_PROJECT).filter(|project| !project.is_empty());
        let named = vars.get(FILE).map(PathBuf::from);
        let usual =
            || Some(PathBuf::from(vars.get("HOME")?).join(".config/gcloud/application_default_credentials.json"));
        let Some(path) = named.clone().or_else(usual) else {
            return Ok(Login { kind: Kind::Metadata, quota_project, file: None });
        };
        let bytes = match disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if named.is_some() {
                    let text = format!("{FILE} names {}, which is not there", path.display());
                    return Err(unauthenticated(
                        text,
                        format!("unset {FILE}, or let it name a file that is there; {LOGIN}"),
                    ));
                }
                return Ok(Login { kind: Kind::Metadata, quota_project, file: None });
            }
            Err(error) => {
                let text = format!("cannot read the credentials in {}: {error}", path.display());
                return Err(unauthenticated(text, format!("check the permissions of the file; {LOGIN}")));
            }
        };
        let json = serde_json::from_slice::<Json>(&bytes).map_err(|_| {
            let text = format!("the credentials in {} are not JSON", path.display());
            unauthenticated(text, "`gcloud auth application-default login` writes the file anew")
        })?;
        let kind = Self::kind(&json, &path, vars, disk)?;
        let own = json["quota_project_id"].as_str().map(str::to_owned);
        Ok(Login { kind, quota_project: quota_project.or(own), file: Some(path) })
    }

    fn kind(json: &Json, path: &std::path::Path, vars: &dyn Vars, disk: &dyn Disk) -> Result<Kind, ProviderError> {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        match json["type"].as_str() {
            Some("authorized_user") => Ok(Kind::User),
            Some("service_account") => Ok(Kind::Key(text("client_email"))),
            Some("impersonated_service_account") => {
                let url = text("service_account_impersonation_url");
                let account = url.rsplit('/').next().and_then(|tail| tail.split(':').next()).unwrap_or_default();
                Ok(Kind::Impersonation(account.to_owned()))
            }
            Some("external_account") => {
                federation(&json["credential_source"], vars, disk)?;
                Ok(Kind::Federation)
            }
            Some(other) => Err(unauthenticated(
                format!("the credentials in {} are of a type that cannot be used here: {other}", path.display()),
                LOGIN,
            )),
            // A client of a web application, as the console downloads it, has one key.
            None if json.get("installed").is_some() || json.get("web").is_some() => Err(unauthenticated(
                format!("{} holds an OAuth client, not a login", path.display()),
                format!("gcloud auth application-default login --client-id-file={}", path.display()),
            )),
            None => Err(unauthenticated(format!("{} does not hold credentials", path.display()), LOGIN)),
        }
    }

    /// Why no token came.
    ///
    /// `said` is what Google's library says, answers of servers included; `transient` that it would try again.
    pub fn refused(&self, said: &str, transient: bool) -> ProviderError {
        let has = |part: &str| said.contains(part);
        let login = "gcloud auth application-default login";
        let who = self.kind.words();
        match &self.kind {
            _ if has("SERVICE_DISABLED") && has("iamcredentials") => unauthenticated(
                format!("{who} needs the IAM Service Account Credentials API, which is off"),
                "gcloud services enable iamcredentials.googleapis.com",
            ),
            Kind::Impersonation(account) if has("getAccessToken") || has("PERMISSION_DENIED") => unauthenticated(
                format!("this login may not act as {account}"),
                format!(
                    "gcloud iam service-accounts add-iam-policy-binding {account} --member user:YOU --role roles/iam.serviceAccountTokenCreator"
                ),
            ),
            Kind::User | Kind::Impersonation(_) if has("invalid_rapt") || has("rapt_required") => unauthenticated(
                format!("{who} must be confirmed again: the organisation asks for it now and then"),
                login,
            ),
            Kind::User | Kind::Impersonation(_) if has("invalid_grant") => {
                unauthenticated(format!("{who} has expired or was revoked"), login)
            }
            Kind::Key(account) if has("invalid_grant") => unauthenticated(
                format!("{who} is not valid any more, or the clock of this machine is wrong"),
                format!("gcloud iam service-accounts keys list --iam-account {account}"),
            ),
            Kind::Federation if has("invalid_target") || has("unauthorized_client") || has("invalid_grant") => {
                unauthenticated(
                    format!("{who} was refused: the token of the workload does not match the provider's conditions"),
                    "gcloud iam workload-identity-pools providers list --location global --workload-identity-pool POOL shows them",
                )
            }
            Kind::Metadata if transient => self.silent(),
            _ if transient => ProviderError::new(
                ErrorClass::Unauthenticated,
                format!("Google's sign-in service does not answer for {who}"),
            )
            .hint("check the network and HTTPS_PROXY, then run the same command again"),
            _ => unauthenticated(format!("{who} is not accepted: {}", brief(said)), LOGIN),
        }
    }

    /// No token came in time.
    pub fn silent(&self) -> ProviderError {
        match self.kind {
            Kind::Metadata => unauthenticated(
                "no Google credentials were found: no login on this machine, and no metadata server answers",
                LOGIN,
            ),
            _ => self.refused("", true),
        }
    }
}

/// The token of the workload must be there before it can be exchanged.
fn federation(source: &Json, vars: &dyn Vars, disk: &dyn Disk) -> Result<(), ProviderError> {
    if let Some(file) = source["file"].as_str()
        && let Err(error) = disk.read(std::path::Path::new(file))
    {
        return Err(unauthenticated(
            format!("workload identity federation wants the workload's token in {file}, which cannot be read: {error}"),
            "let the job write it first; on GitHub: `permissions: {id-token: write}` and google-github-actions/auth before this step",
        ));
    }
    let allowed = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
    if let Some(command) = source["executable"]["command"].as_str()
        && vars.get(allowed).as_deref() != Some("1")
    {
        return Err(unauthenticated(
            format!("workload identity federation wants to run `{command}`, which is not allowed"),
            format!("export {allowed}=1, if that program is to be trusted"),
        ));
    }
    Ok(())
}

/// The first line, cut off: answers of servers may be pages.
fn brief(said: &str) -> String {
    let line = said.lines().next().unwrap_or_default();
    let mut text = line.chars().take(300).collect::<String>();
    if line.chars().count() > 300 {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::env::memory_disk::MemoryDisk;

    fn found(file: Option<&str>, vars: &[(&str, &str)]) -> Result<Login, ProviderError> {
        let disk = MemoryDisk::new();
        if let Some(text) = file {
            disk.write(Path::new("/login.json"), text.as_bytes()).expect("written");
        }
        let vars = vars.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Login::find(&vars.collect::<BTreeMap<_, _>>(), &disk)
    }

    fn named(text: &str) -> Result<Login, ProviderError> {
        found(Some(text), &[(FILE, "/login.json"), ("HOME", "/home/me")])
    }

    #[test]
    fn each_kind_of_login_is_known() {
        let kind = |text: &str| named(text).expect("a login").kind;
        assert_eq!(kind(r#"{"type": "authorized_user"}"#), Kind::User);
        assert_eq!(kind(r#"{"type": "service_account", "client_email": "a@p"}"#), Kind::Key("a@p".to_owned()));
        let url = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam:generateAccessToken";
        let impersonated =
            format!(r#"{{"type": "impersonated_service_account", "service_account_impersonation_url": "{url}"}}"#);
        assert_eq!(kind(&impersonated), Kind::Impersonation("a@p.iam".to_owned()));
        assert_eq!(kind(r#"{"type": "external_account", "credential_source": {"url": "http://x"}}"#), Kind::Federation);
        assert_eq!(found(None, &[("HOME", "/home/me")]).expect("a login").kind, Kind::Metadata);
        assert_eq!(found(None, &[]).expect("a login").kind, Kind::Metadata);
    }

    #[test]
    fn the_quota_project_is_that_of_the_variable_or_of_the_file() {
        let file = r#"{"type": "authorized_user", "quota_project_id": "own"}"#;
        assert_eq!(named(file).expect("a login").quota_project.as_deref(), Some("own"));
        let vars = [(FILE, "/login.json"), (QUOTA_PROJECT, "other")];
        assert_eq!(found(Some(file), &vars).expect("a login").quota_project.as_deref(), Some("other"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named_with_what_to_type() {
        let wrong = |text: &str| {
            let error = named(text).expect_err("refused");
            assert_eq!(error.class, ErrorClass::Unauthenticated);
            format!("{} / {}", error.message, error.hint.expect("a hint"))
        };
        assert!(wrong("{").contains("are not JSON / `gcloud auth application-default login`"));
        assert!(wrong(r#"{"type": "gdch_service_account"}"#).contains("gdch_service_account"));
        assert!(wrong(r#"{"installed": {}}"#).contains("--client-id-file=/login.json"));
        let file = r#"{"type": "external_account", "credential_source": {"file": "/token"}}"#;
        assert!(wrong(file).contains("/token") && wrong(file).contains("id-token: write"));
        let program = r#"{"type": "external_account", "credential_source": {"executable": {"command": "sh x"}}}"#;
        assert!(wrong(program).contains("export GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"));
        let missing = found(None, &[(FILE, "/none.json")]).expect_err("refused");
        assert!(missing.message.contains("names /none.json, which is not there"), "{missing:?}");
    }

    #[test]
    fn refusals_of_sign_in_services_lead_to_a_command() {
        let told = |kind: Kind, said: &str, transient: bool| {
            let error = Login { kind, quota_project: None, file: None }.refused(said, transient);
            format!("{} / {}", error.message, error.hint.expect("a hint"))
        };
        let revoked = r#"failed to refresh user access token, body=<{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}>"#;
        assert!(
            told(Kind::User, revoked, false).contains("expired or was revoked / gcloud auth application-default login")
        );
        let rapt = r#"{"error": "invalid_grant", "error_description": "reauth related error (invalid_rapt)", "error_subtype": "invalid_rapt"}"#;
        assert!(told(Kind::User, rapt, false).contains("confirmed again"));
        let key = r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
        assert!(told(Kind::Key("a@p".into()), key, false).contains("keys list --iam-account a@p"));
        let denied = r#"{"error": {"code": 403, "message": "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).", "status": "PERMISSION_DENIED"}}"#;
        assert!(
            told(Kind::Impersonation("a@p".into()), denied, false)
                .contains("binding a@p --member user:YOU --role roles/iam.serviceAccountTokenCreator")
        );
        let off = r#"{"error": {"code": 403, "status": "PERMISSION_DENIED", "details": [{"reason": "SERVICE_DISABLED", "metadata": {"service": "iamcredentials.googleapis.com"}}]}}"#;
        assert!(told(Kind::Impersonation("a@p".into()), off, false).contains("services enable iamcredentials"));
        let condition = r#"{"error":"unauthorized_client","error_description":"The given credential is rejected by the attribute condition."}"#;
        assert!(told(Kind::Federation, condition, false).contains("workload-identity-pools providers"));
        assert!(told(Kind::User, "connection refused", true).contains("HTTPS_PROXY"));
        assert!(told(Kind::Metadata, "connection refused", true).contains("no metadata server answers"));
        assert!(told(Kind::User, "something new", false).contains("not accepted: something new"));
    }
}
